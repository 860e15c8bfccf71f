//! The user behind `sudo`, whose the command and the output are.
//!
//! In: the environment that sudo leaves; out: ids, or nothing where there is no sudo. What is half there or garbled is an
//! error: to go on as root without a word would give a command rights that nobody meant it to have.

use std::ffi::OsString;
use thiserror::Error;

/// What is wrong with sudo's variables.
#[derive(Debug, Error)]
pub enum SudoError {
    /// A variable that sudo sets together with the others is missing.
    #[error("SUDO_UID is set but {0} is not; unset SUDO_UID to go on as root")]
    Missing(&'static str),
    /// A variable is no number.
    #[error("{name} is {value:?}, which is no id of a user or group; unset SUDO_UID to go on as root")]
    NoNumber {
        /// The variable.
        name: &'static str,
        /// What it says.
        value: OsString,
    },
}

/// Numeric ids of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ids {
    /// User.
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
}

/// Who called sudo; `None` when this process is not root by sudo, or when root called it.
///
/// # Errors
/// The variables do not make sense.
pub fn invoking_user() -> Result<Option<Ids>, SudoError> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    ids(std::env::var_os("SUDO_UID"), std::env::var_os("SUDO_GID"))
}

fn ids(uid: Option<OsString>, gid: Option<OsString>) -> Result<Option<Ids>, SudoError> {
    let Some(uid) = uid else { return Ok(None) };
    let uid = number("SUDO_UID", uid)?;
    let gid = number("SUDO_GID", gid.ok_or(SudoError::Missing("SUDO_GID"))?)?;
    Ok((uid != 0).then_some(Ids { uid, gid }))
}

fn number(name: &'static str, value: OsString) -> Result<u32, SudoError> {
    // -1 means "unchanged" to setuid(2) and chown(2).
    let number = value.to_str().and_then(|text| text.parse().ok()).filter(|&id| id != u32::MAX);
    number.ok_or(SudoError::NoNumber { name, value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_sudo_left_is_taken_whole_or_refused() {
        let ids = |uid: Option<&str>, gid: Option<&str>| super::ids(uid.map(Into::into), gid.map(Into::into));
        assert_eq!(ids(None, None).unwrap(), None);
        assert_eq!(ids(Some("0"), Some("0")).unwrap(), None);
        assert_eq!(ids(Some("1000"), Some("100")).unwrap(), Some(Ids { uid: 1000, gid: 100 }));
        assert!(matches!(ids(Some("1000"), None), Err(SudoError::Missing("SUDO_GID"))));
        for garbled in ["", "me", "-1", "4294967295", "1000 "] {
            assert!(matches!(
                ids(Some(garbled), Some("1")),
                Err(SudoError::NoNumber { name: "SUDO_UID", .. })
            ));
            assert!(matches!(
                ids(Some("1"), Some(garbled)),
                Err(SudoError::NoNumber { name: "SUDO_GID", .. })
            ));
        }
    }
}
