//! How much goes over a connection.

/// How much has been said on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Bytes sent.
    pub sent: u64,
    /// Bytes of images that went in files in memory, or through memory that both sides map, and so in no frame.
    pub passed: u64,
    /// Bytes received.
    pub received: u64,
    /// Requests made.
    pub requests: u64,
}

impl Traffic {
    /// Bytes that were sent or handed over.
    #[must_use]
    pub fn shipped(&self) -> u64 {
        self.sent + self.passed
    }
}
