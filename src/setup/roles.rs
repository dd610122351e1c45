//! The roles of a process.

/// The roles of a process. Any number of processes may have a role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Roles {
    pub ingress: bool,
    pub worker: bool,
    pub gateway: bool,
}

impl Roles {
    pub const ALL: Roles = Roles {
        ingress: true,
        worker: true,
        gateway: true,
    };
    pub const INGRESS: Roles = Roles {
        ingress: true,
        worker: false,
        gateway: false,
    };

    /// Whether the process reads the database.
    #[must_use]
    pub fn need_database(self) -> bool {
        self.worker || self.gateway
    }
}
