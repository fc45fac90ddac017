//! floatlease: take, hold and give back floating licenses. (See the README.)
pub mod model;
pub mod operations;
pub mod sign;
