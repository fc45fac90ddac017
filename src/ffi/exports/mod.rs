//! The exported functions of the client, behind the feature `exports`.
//!
//! `build.rs` generates `include/floatlease.h` from these files, in their order in the table, from the status table, and
//! from `manual.txt`, which is the comment at the header's top. A comment here is written for C: summary, request keys,
//! reply, errors, then what is special.
//!
//! | module | its job |
//! |---|---|
//! | `library` | the types of the C ABI, its version and its strings |
//! | `client` | opening, cancelling, closing and diagnosing a client |
//! | `verbs` | the operations of the License API, each waiting for its reply |
//! | `background` | calls in the background, and the events of a client |
//! | `lease` | acquiring, reading, renewing, borrowing, releasing and freeing leases |

mod background;
mod client;
mod lease;
mod library;
mod verbs;

pub use background::*;
pub use client::*;
pub use lease::*;
pub use library::*;
pub use verbs::*;
