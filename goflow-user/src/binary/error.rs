//! Why a file cannot be analysed. Each variant says what is there instead and what to do about it; nothing here is
//! about a single fact that is merely missing (that is an `Option` or an entry of the "not available" list).

/// The file as a whole is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BinaryError {
    /// The first bytes are not those of an ELF file.
    #[error("not an ELF file: it is {found}; give goflow the Linux executable itself")]
    NotElf {
        /// What the first bytes look like.
        found: String,
    },
    /// An ELF file of 32 bits.
    #[error(
        "a 32-bit ELF file (machine {machine}); goflow traces 64-bit Go programs: rebuild with GOARCH=amd64 or arm64"
    )]
    Elf32 {
        /// Name of the machine.
        machine: String,
    },
    /// An ELF file of the other byte order.
    #[error("a big-endian ELF file (machine {machine}); goflow traces amd64 and arm64 programs only")]
    BigEndian {
        /// Name of the machine.
        machine: String,
    },
    /// ELF, but neither `ET_EXEC` nor `ET_DYN`.
    #[error("an ELF file that cannot be run: {kind}; give goflow the linked executable")]
    NotExecutable {
        /// What it is.
        kind: String,
    },
    /// A machine other than amd64 and arm64.
    #[error("a program for {machine}; goflow knows the Go calling conventions of amd64 and arm64 only")]
    WrongArch {
        /// Name of the machine.
        machine: String,
    },
    /// Neither build info nor a function table of Go.
    #[error(
        "not a Go program: {evidence}; if it is one, it was packed (upx) or its function table was removed: give goflow \
         the file as `go build` made it"
    )]
    NotGo {
        /// What was looked for, and what is there instead.
        evidence: String,
    },
    /// Go before 1.18.
    #[error("built with {version}, goflow needs Go 1.18 or newer: rebuild with a supported toolchain")]
    OldGo {
        /// The version, or the range that the function table implies.
        version: String,
    },
    /// Go, but neither symbols nor debug information nor a readable function table.
    #[error(
        "a Go program ({version}) whose functions cannot be named: there is no symbol table, no debug information, and \
         {why}; give goflow a build of it that is not obfuscated, or one with its symbol table"
    )]
    NoFunctions {
        /// What the build info says of the version.
        version: String,
        /// What is wrong with the function table.
        why: String,
    },
    /// The file ends before something that its headers announce.
    #[error("the file is cut short: {what} ends at byte {needed}, the file has {have}; copy it again")]
    Truncated {
        /// What does not fit.
        what: &'static str,
        /// End of it, in bytes from the start of the file.
        needed: u64,
        /// Length of the file in bytes.
        have: u64,
    },
    /// A header contradicts itself.
    #[error("damaged or hostile file: {what}: found {found}, expected {expected}")]
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
    pub(crate) fn malformed(
        what: &'static str,
        found: impl Into<String>,
        expected: impl Into<String>,
    ) -> Self {
        Self::Malformed { what, found: found.into(), expected: expected.into() }
    }
}
