//! Random numbers of the system.

use crate::descriptor;
use crate::error::Error;
use crate::status::Status;
use ring::rand::{SecureRandom, SystemRandom};

/// Fills `bytes`.
///
/// # Errors
/// [`Status::OutOfResources`]. Kernels before Linux 3.17 have no call for random numbers. There ring opens a file at
/// its first use, which fails without a free descriptor, and keeps it open.
pub(crate) fn fill(bytes: &mut [u8]) -> Result<(), Error> {
    let failed = |_| Error::because(Status::OutOfResources, "The system gives no random numbers (/dev/urandom).");
    descriptor::with_standard_taken(|| SystemRandom::new().fill(bytes)).map_err(failed)
}
