//! Giving up what only opening the interface took, before a byte from the wire is looked at.
//!
//! User and groups, capabilities, the right to gain new ones by running programs, and, where the kernel has
//! Landlock, every file but those that the run writes. Capabilities and the sandbox belong to threads: whoever
//! calls these functions passes them on to the threads that it starts afterwards, not to those that run already.

use std::ffi::CString;
use std::path::PathBuf;

use nix::errno::Errno;
use nix::unistd::{Gid, Uid, User};

/// What is left of the privileges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropped {
    /// The user that the process runs as now; `None` where it changed nothing because it was no root.
    pub user: Option<String>,
    /// What the user should know, once.
    pub warning: Option<String>,
}

/// Why privileges could not be given up. The run must not go on.
#[derive(Debug, thiserror::Error)]
pub enum PrivilegeError {
    /// There is no such user.
    #[error("no such user: {0}")]
    UnknownUser(String),
    /// Somebody who is not root asked for another user.
    #[error("only root can become {0}")]
    NotRoot(String),
    /// The system refused a step.
    #[error("privileges can't be dropped: {step}: {source}")]
    Refused {
        /// The system call.
        step: &'static str,
        /// What the system said.
        source: Errno,
    },
    /// Everything succeeded, and yet root can be had again.
    #[error("privileges can't be dropped: {0}")]
    Regained(&'static str),
}

/// Whom to become.
struct Target {
    name: Option<CString>,
    uid: Uid,
    gid: Gid,
}

/// Gives up root for good: to `user` where one is named, else to who called sudo, else with a warning that root
/// it stays. Capabilities go in every case, but for root that stays, which keeps reaching everybody's files.
///
/// # Errors
/// [`PrivilegeError`], and then nothing may be taken for granted: end the run.
pub fn drop(user: Option<&str>) -> Result<Dropped, PrivilegeError> {
    drop_all_but(user, false)
}

/// As [`drop`], but the right to open interfaces stays in reserve on the calling thread until a live source
/// that waits for interfaces ([`LiveOptions::wait`](crate::capture::LiveOptions)) has taken it over.
///
/// # Errors
/// As [`drop`].
pub fn drop_keeping_capture(user: Option<&str>) -> Result<Dropped, PrivilegeError> {
    drop_all_but(user, true)
}

fn drop_all_but(user: Option<&str>, keep_capture: bool) -> Result<Dropped, PrivilegeError> {
    let target = target(user)?;
    let mut dropped = Dropped {
        user: None,
        warning: None,
    };
    match &target {
        Some(target) => {
            if keep_capture {
                capabilities::survive_the_change_of_user()?;
            }
            become_user(target)?;
            let name = target
                .name
                .as_ref()
                .map(|name| name.to_string_lossy().into_owned());
            dropped.user = Some(name.unwrap_or_else(|| target.uid.to_string()));
        }
        None if Uid::effective().is_root() => {
            dropped.warning = Some(
                "running as root all the way: call it through sudo, or name a user with -U, and it gives root up \
                 once the interface is open"
                    .into(),
            );
        }
        None => {}
    }
    capabilities::reduce(keep_capture)?;
    capabilities::no_new_ones()?;
    Ok(dropped)
}

/// Whom to become; `None`: stay who we are.
fn target(user: Option<&str>) -> Result<Option<Target>, PrivilegeError> {
    let known = |user: User| Target {
        name: CString::new(user.name).ok(),
        uid: user.uid,
        gid: user.gid,
    };
    let root = Uid::effective().is_root();
    if let Some(name) = user {
        let by_number = || {
            name.parse()
                .ok()
                .and_then(|uid| User::from_uid(Uid::from_raw(uid)).ok().flatten())
        };
        let found = User::from_name(name).ok().flatten().or_else(by_number);
        let target = found
            .map(known)
            .ok_or_else(|| PrivilegeError::UnknownUser(name.to_owned()))?;
        return match (root, target.uid == Uid::effective()) {
            (true, _) => Ok(Some(target)),
            (false, true) => Ok(None),
            (false, false) => Err(PrivilegeError::NotRoot(name.to_owned())),
        };
    }
    let number = |variable| {
        std::env::var(variable)
            .ok()
            .and_then(|value| value.parse::<u32>().ok())
    };
    let Some(uid) = number("SUDO_UID")
        .filter(|uid| root && *uid != 0)
        .map(Uid::from_raw)
    else {
        return Ok(None);
    };
    let user = User::from_uid(uid).ok().flatten();
    let gid = number("SUDO_GID")
        .map(Gid::from_raw)
        .or_else(|| user.as_ref().map(|user| user.gid));
    let name = user.and_then(|user| CString::new(user.name).ok());
    Ok(Some(Target {
        name,
        uid,
        gid: gid.unwrap_or_else(|| Gid::from_raw(uid.as_raw())),
    }))
}

/// Groups first: afterwards it would no longer be allowed. Then it is tried to go back.
#[cfg(target_os = "linux")]
fn become_user(target: &Target) -> Result<(), PrivilegeError> {
    use nix::unistd::{getgroups, getresgid, getresuid, initgroups, setgroups, setresgid, setresuid};
    let refused = |step| move |source| PrivilegeError::Refused { step, source };
    let Target { name, uid, gid } = target;
    match name {
        Some(name) => initgroups(name, *gid).map_err(refused("initgroups"))?,
        None => setgroups(&[*gid]).map_err(refused("setgroups"))?,
    }
    setresgid(*gid, *gid, *gid).map_err(refused("setresgid"))?;
    setresuid(*uid, *uid, *uid).map_err(refused("setresuid"))?;
    let (users, groups) = (
        getresuid().map_err(refused("getresuid"))?,
        getresgid().map_err(refused("getresgid"))?,
    );
    if [users.real, users.effective, users.saved] != [*uid; 3]
        || [groups.real, groups.effective, groups.saved] != [*gid; 3]
    {
        return Err(PrivilegeError::Regained("user or group did not change"));
    }
    if uid.is_root() {
        return Ok(());
    }
    let root = Uid::from_raw(0);
    if setresuid(root, root, root).is_ok() {
        return Err(PrivilegeError::Regained("root can be had again"));
    }
    let supplementary = getgroups().map_err(refused("getgroups"))?;
    if supplementary.contains(&Gid::from_raw(0)) && gid.as_raw() != 0 && !belongs_to_root_s_group(target) {
        return Err(PrivilegeError::Regained("root's group is still among the groups"));
    }
    Ok(())
}

/// Some users are members of group 0 by the administrator's will.
#[cfg(target_os = "linux")]
fn belongs_to_root_s_group(target: &Target) -> bool {
    let Some(name) = target.name.as_ref() else {
        return false;
    };
    nix::unistd::getgrouplist(name, target.gid).is_ok_and(|groups| groups.contains(&Gid::from_raw(0)))
}

#[cfg(not(target_os = "linux"))]
fn become_user(target: &Target) -> Result<(), PrivilegeError> {
    use nix::unistd::{setgid, setuid};
    let refused = |step| move |source| PrivilegeError::Refused { step, source };
    #[cfg(not(target_vendor = "apple"))]
    nix::unistd::setgroups(&[target.gid]).map_err(refused("setgroups"))?;
    setgid(target.gid).map_err(refused("setgid"))?;
    setuid(target.uid).map_err(refused("setuid"))?;
    if !target.uid.is_root() && setuid(Uid::from_raw(0)).is_ok() {
        return Err(PrivilegeError::Regained("root can be had again"));
    }
    Ok(())
}

/// Gives up, on the calling thread, what [`drop_keeping_capture`] kept.
pub(crate) fn forget_capture() {
    // It can only fail where there is nothing to give up.
    let _ = capabilities::reduce(false);
}

/// Does something with the right to open interfaces, if the calling thread has it in reserve.
pub(crate) fn with_capture<T>(open: impl FnOnce() -> T) -> T {
    capabilities::raise_capture(true);
    let result = open();
    capabilities::raise_capture(false);
    result
}

#[cfg(target_os = "linux")]
mod capabilities {
    use nix::errno::Errno;
    use nix::sys::prctl;
    use nix::unistd::Uid;
    use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};

    use super::PrivilegeError;

    pub(super) fn survive_the_change_of_user() -> Result<(), PrivilegeError> {
        prctl::set_keepcaps(true).map_err(|source| PrivilegeError::Refused {
            step: "PR_SET_KEEPCAPS",
            source,
        })
    }

    /// Down to nothing in effect, and in reserve what was asked for.
    pub(super) fn reduce(keep_capture: bool) -> Result<(), PrivilegeError> {
        let had = held()?;
        let mut kept = CapabilitySet::empty();
        if keep_capture {
            kept |= CapabilitySet::NET_RAW;
        }
        // Root without it could not write into the folder of a user.
        let of_root = if Uid::effective().is_root() {
            CapabilitySet::DAC_OVERRIDE
        } else {
            CapabilitySet::empty()
        };
        let sets = CapabilitySets {
            effective: had.permitted & of_root,
            permitted: had.permitted & (kept | of_root),
            inheritable: CapabilitySet::empty(),
        };
        set_capabilities(None, sets).map_err(refused("capset"))?;
        if held()?.permitted != sets.permitted {
            return Err(PrivilegeError::Regained("capabilities did not go"));
        }
        Ok(())
    }

    pub(super) fn no_new_ones() -> Result<(), PrivilegeError> {
        prctl::set_no_new_privs().map_err(|source| PrivilegeError::Refused {
            step: "PR_SET_NO_NEW_PRIVS",
            source,
        })
    }

    pub(super) fn raise_capture(up: bool) {
        let Ok(mut sets) = capabilities(None) else { return };
        let capture = sets.permitted & CapabilitySet::NET_RAW;
        sets.effective = if up {
            sets.effective | capture
        } else {
            sets.effective - capture
        };
        // Where it is refused, opening is, and says so.
        let _ = set_capabilities(None, sets);
    }

    fn held() -> Result<CapabilitySets, PrivilegeError> {
        capabilities(None).map_err(refused("capget"))
    }

    fn refused(step: &'static str) -> impl Fn(rustix::io::Errno) -> PrivilegeError {
        move |error| PrivilegeError::Refused {
            step,
            source: Errno::from_raw(error.raw_os_error()),
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod capabilities {
    //! Only Linux splits root's rights.
    use super::PrivilegeError;

    pub(super) fn survive_the_change_of_user() -> Result<(), PrivilegeError> {
        Ok(())
    }

    pub(super) fn reduce(_keep_capture: bool) -> Result<(), PrivilegeError> {
        Ok(())
    }

    pub(super) fn no_new_ones() -> Result<(), PrivilegeError> {
        Ok(())
    }

    pub(super) fn raise_capture(_up: bool) {}
}

/// What is read after the sandbox is up: local time, our own memory, the interfaces' counters.
#[cfg(target_os = "linux")]
const READ: [&str; 5] = [
    "/usr/share/zoneinfo",
    "/etc/localtime",
    "/proc/self",
    "/sys/class/net",
    "/sys/devices",
];

/// Shuts the calling thread, and those that it starts, out of every file but those under `writable` (folders that
/// exist, or files), and out of making or accepting TCP connections. What is open already stays open. Where the
/// kernel has no Landlock the run goes on without, and the sentence returned says so.
///
/// # Errors
/// None today; a kernel that refuses for other reasons than lack of support is told in the sentence, too.
#[cfg(target_os = "linux")]
pub fn sandbox(writable: &[PathBuf]) -> Result<Option<String>, PrivilegeError> {
    use landlock::RulesetStatus;

    Ok(match restrict(writable) {
        Ok(RulesetStatus::NotEnforced) => {
            Some("this kernel has no Landlock: the run is not shut into its output folder".into())
        }
        Ok(_) => None,
        Err(error) => Some(format!("the run is not shut into its output folder: {error}")),
    })
}

#[cfg(target_os = "linux")]
fn restrict(writable: &[PathBuf]) -> Result<landlock::RulesetStatus, landlock::RulesetError> {
    use landlock::{
        ABI, Access, AccessFs, AccessNet, Ruleset, RulesetAttr, RulesetCreatedAttr, path_beneath_rules,
    };

    // The newest that the crate knows; it leaves out what the kernel doesn't.
    let abi = ABI::V5;
    let write = AccessFs::from_write(abi) & !(AccessFs::MakeChar | AccessFs::MakeBlock | AccessFs::IoctlDev);
    let status = Ruleset::default()
        .handle_access(AccessFs::from_all(abi))?
        .handle_access(AccessNet::from_all(abi))?
        .create()?
        .add_rules(path_beneath_rules(READ, AccessFs::ReadFile | AccessFs::ReadDir))?
        .add_rules(path_beneath_rules(
            writable,
            write | AccessFs::ReadFile | AccessFs::ReadDir,
        ))?
        .restrict_self()?;
    Ok(status.ruleset)
}

/// Landlock is Linux's alone.
///
/// # Errors
/// None.
#[cfg(not(target_os = "linux"))]
pub fn sandbox(_writable: &[PathBuf]) -> Result<Option<String>, PrivilegeError> {
    Ok(Some("only Linux can shut the run into its output folder".into()))
}
