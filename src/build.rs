//! Says what to install where libpcap's development files are missing, instead of a linker error.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=src/build.rs");
    println!("cargo::rerun-if-env-changed=LIBPCAP_LIBDIR");
    let found = std::env::var_os("LIBPCAP_LIBDIR").is_some()
        || answers("pkg-config", &["--exists", "libpcap"])
        || answers("pcap-config", &["--libs"])
        || ["/usr/include", "/usr/local/include", "/opt/homebrew/include"]
            .iter()
            .any(|folder| Path::new(folder).join("pcap/pcap.h").exists());
    if !found {
        println!(
            "cargo::error=libpcap's development files are missing. Install them with `make deps`, or by hand: \
             Debian/Ubuntu `apt-get install libpcap-dev`, Fedora/RHEL `dnf install libpcap-devel`, \
             Alpine `apk add libpcap-dev`, macOS `brew install libpcap`. \
             Elsewhere set LIBPCAP_LIBDIR to the folder that holds libpcap.so."
        );
    }
}

fn answers(program: &str, arguments: &[&str]) -> bool {
    Command::new(program)
        .args(arguments)
        .output()
        .is_ok_and(|output| output.status.success())
}
