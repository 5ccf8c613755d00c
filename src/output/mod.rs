//! Sinks: each takes every event and writes what concerns it.
