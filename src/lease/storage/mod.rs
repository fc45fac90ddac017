//! Files that outlive this process, and the locks that processes share.
//!
//! | module | its job |
//! |---|---|
//! | `sealed_file` | a file that is replaced as a whole |
//! | `append_log` | a file that grows line by line |
//! | `seal` | encryption of both kinds of files, and the check of their headers |
//! | `json` | reading the JSON that was stored in them |
//! | `lock` | a lock in a file or in memory |
//! | `process_lock` | the lock of one slot among the processes of a machine |
//! | `retry` | retries while another program has a file open |
//! | `disk` | the folder, and flushing a file to the disk |
//! | `probe` | a try of all of it, for `diagnose` |

pub(crate) mod append_log;
pub(crate) mod disk;
pub(crate) mod json;
pub(crate) mod lock;
pub(crate) mod probe;
pub(crate) mod process_lock;
pub(crate) mod retry;
pub(crate) mod seal;
pub mod sealed_file;
