//! Our captures, and what the watchers tell of them.

mod mail_support;

use mail_support::{capture, ours};

/// Not a test: shows what is told of a capture, for whoever writes one.
#[test]
#[ignore = "a tool: SHOW=FILE cargo test --test mail_captures show -- --ignored --nocapture"]
fn show() {
    let name = std::env::var("SHOW").unwrap_or_else(|_| "demo.pcap".into());
    let seen = if name.contains('/') {
        capture(std::path::Path::new(&name))
    } else {
        ours(&name)
    };
    for (i, seen) in seen.iter().enumerate() {
        println!("=== connection {}", i + 1);
        for line in &seen.told {
            println!("{line}");
        }
        for (direction, runs) in ["client", "server"].iter().zip(&seen.runs) {
            for (kind, bytes) in runs {
                let text = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]).into_owned();
                println!("   {direction} {kind:?} {} {text:?}", bytes.len());
            }
        }
        println!("   tls: {:?}", seen.tls.iter().take(12).collect::<Vec<_>>());
    }
}
