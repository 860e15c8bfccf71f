//! Why a file cannot be analysed. Each variant says what is there instead, [`BinaryError::advice`] what to do about it;
//! nothing here is about a single fact that is merely missing (that is an `Option` or an entry of the "not available"
//! list).

/// The file as a whole is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BinaryError {
    /// The first bytes are not those of an ELF file.
    #[error("it is not an ELF file, but {found}")]
    NotElf {
        /// What the first bytes look like.
        found: String,
    },
    /// An ELF file of 32 bits.
    #[error("it is a 32-bit ELF file, for {machine}")]
    Elf32 {
        /// Name of the machine.
        machine: String,
    },
    /// An ELF file of the other byte order.
    #[error("it is a big-endian ELF file, for {machine}")]
    BigEndian {
        /// Name of the machine.
        machine: String,
    },
    /// ELF, but neither `ET_EXEC` nor `ET_DYN`.
    #[error("it is an ELF file that cannot be run: {kind}")]
    NotExecutable {
        /// What it is.
        kind: String,
    },
    /// A machine other than this goflow's.
    #[error("it is a program for {machine}, and this goflow is for {wanted}")]
    WrongArch {
        /// Name of the program's machine.
        machine: String,
        /// What was expected.
        wanted: &'static str,
    },
    /// Neither build info nor a function table of Go.
    #[error("it is not a Go program: {evidence}")]
    NotGo {
        /// What was looked for, and what is there instead.
        evidence: String,
    },
    /// Go before 1.18.
    #[error("it was built with {version}, and goflow needs Go 1.18 or newer")]
    OldGo {
        /// The version, or the range that the function table implies.
        version: String,
    },
    /// Go, but neither symbols nor debug information nor a readable function table.
    #[error(
        "it is a Go program ({version}) whose functions cannot be named: it has no symbol table, no debug information, \
         and {why}"
    )]
    NoFunctions {
        /// What the build info says of the version.
        version: String,
        /// What is wrong with the function table.
        why: String,
    },
    /// The file ends before something that its headers announce.
    #[error("it is cut short: {what} ends at byte {needed}, the file has {have}")]
    Truncated {
        /// What does not fit.
        what: &'static str,
        /// End of it, in bytes from the start of the file.
        needed: u64,
        /// Length of the file in bytes.
        have: u64,
    },
    /// A header contradicts itself.
    #[error("it is damaged or hostile: {what}: found {found}, expected {expected}")]
    Malformed {
        /// Which structure.
        what: &'static str,
        /// The value found.
        found: String,
        /// What it should have been.
        expected: String,
    },
}

impl BinaryError {
    /// What to do next: one sentence without a full stop.
    #[must_use]
    pub fn advice(&self) -> &'static str {
        match self {
            Self::NotElf { .. } | Self::NotExecutable { .. } => "give goflow the Linux executable itself",
            Self::Elf32 { .. } | Self::BigEndian { .. } => "build the program for linux/amd64",
            Self::WrongArch { .. } => {
                "run goflow where the program runs, or build the program for linux/amd64"
            }
            Self::NotGo { .. } => {
                "give goflow the file that `go build` made; if it was packed since, unpack it (`upx -d`)"
            }
            Self::OldGo { .. } => "build the program with Go 1.18 or newer",
            Self::NoFunctions { .. } => {
                "give goflow a build that is not obfuscated, or one with its symbol table"
            }
            Self::Truncated { .. } | Self::Malformed { .. } => {
                "copy the file again, and compare its checksum"
            }
        }
    }

    pub(crate) fn malformed(
        what: &'static str,
        found: impl Into<String>,
        expected: impl Into<String>,
    ) -> Self {
        Self::Malformed { what, found: found.into(), expected: expected.into() }
    }
}
