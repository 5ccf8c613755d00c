#!/usr/bin/env python3
"""Makes docs/console.svg, the picture in the README, from what flowdump really prints (pip install rich)."""

import subprocess
import sys

from rich.console import Console
from rich.text import Text

flowdump = sys.argv[1] if len(sys.argv) > 1 else "target/release/flowdump"
command = ["-c", "-g", "-q", "-r", "tests/captures/demo.pcap"]
lines = subprocess.run([flowdump, *command], check=True, capture_output=True, text=True).stdout.splitlines()
# The refused recipient, and the beginning of the session that turns to TLS.
refused = next(i for i, line in enumerate(lines) if "550 5.1.1" in line)
tls = next(i for i, line in enumerate(lines) if "TLS starts here" in line)
shown = lines[refused - 4 : refused + 3] + lines[tls - 4 : tls + 10]
console = Console(record=True, width=150, file=open("/dev/null", "w"))
console.print(Text.from_ansi("\n".join(shown)), overflow="crop", no_wrap=True)
console.save_svg("docs/console.svg", title="flowdump -c -r mail.pcap port 25")
