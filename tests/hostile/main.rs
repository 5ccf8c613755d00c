//! Input made to hurt: mutilated captures, floods, lies. Nothing panics, nothing grows without bound, and
//! what is wrong is said with file, offset and reason.

#[path = "../common/mod.rs"]
mod common;
mod files;
mod floods;
