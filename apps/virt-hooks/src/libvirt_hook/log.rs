// SPDX-License-Identifier: Apache-2.0
//! Where a call says what happened: standard error, which libvirt shows where the answer is a failure and throws
//! away where it is not, and the system's log.

use crate::render::printable;
use crate::streams::Streams;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

/// The socket of syslog and of the systemd journal.
const SYSLOG: &str = "/dev/log";
/// Facility `daemon`, severity `warning`.
const PRIORITY: u8 = 3 << 3 | 4;

/// Says a line.
pub(super) fn say(streams: &mut Streams<'_>, line: &str) {
    say_at(Path::new(SYSLOG), streams, line);
}

fn say_at(socket: &Path, streams: &mut Streams<'_>, line: &str) {
    let line = printable(line).replace('\n', " ");
    streams.say(&format!("virt-hooks: {line}\n"));
    // A host without a log, or with one that is full, has its hooks all the same.
    if let Ok(log) = UnixDatagram::unbound()
        && log.set_nonblocking(true).is_ok()
    {
        let _ = log.send_to(format!("<{PRIORITY}>virt-hooks: {line}").as_bytes(), socket);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::streams::Look;

    #[test]
    fn one_line_for_both() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let log = UnixDatagram::bind(&path).unwrap();
        let mut errors = Vec::new();
        let mut streams = Streams {
            input: Box::new(std::io::empty()),
            output: Box::new(std::io::sink()),
            output_look: Look::default(),
            errors: Box::new(&mut errors),
            errors_look: Look::default(),
        };
        say_at(&path, &mut streams, "a\nb");
        say_at(&dir.path().join("none"), &mut streams, "c");
        drop(streams);
        let mut buffer = [0; 100];
        let length = log.recv(&mut buffer).unwrap();
        let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
        assert!(text.starts_with("<28>virt-hooks: a") && !text.contains('\n'), "{text}");
        assert_eq!(String::from_utf8(errors).unwrap().lines().count(), 2);
    }
}
