// SPDX-License-Identifier: Apache-2.0
//! The archive inside an rpm: cpio, "newc" (cpio(5)).

use super::parcel::{Item, ItemKind};

/// Type bits of `st_mode`.
const DIRECTORY: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;
const LINK: u32 = 0o120_000;

/// Type and permissions of an item.
pub(super) fn mode(item: &Item) -> u32 {
    match &item.kind {
        ItemKind::Directory => DIRECTORY | 0o755,
        ItemKind::Link(_) => LINK | 0o777,
        ItemKind::File { mode, .. } => REGULAR | mode,
    }
}

/// All items, each with its number in the package as inode.
pub(super) fn archive(items: &[Item], time: u32) -> Vec<u8> {
    let mut out = Vec::new();
    for (number, item) in (1..).zip(items) {
        let content = match &item.kind {
            ItemKind::Directory => Vec::new(),
            ItemKind::Link(to) => to.to_string_lossy().into_owned().into_bytes(),
            ItemKind::File { content, .. } => content.clone(),
        };
        let head = Head { inode: number, mode: mode(item), links: 1, time };
        head.write(&format!(".{}", item.place()), &content, &mut out);
    }
    Head { inode: 0, mode: 0, links: 1, time: 0 }.write("TRAILER!!!", &[], &mut out);
    out
}

struct Head {
    inode: u32,
    mode: u32,
    links: u32,
    time: u32,
}

impl Head {
    fn write(&self, name: &str, content: &[u8], out: &mut Vec<u8>) {
        let name_size = name.len() + 1;
        out.extend_from_slice(b"070701");
        let numbers: [usize; 13] = [
            self.inode as usize,
            self.mode as usize,
            0, // uid
            0, // gid
            self.links as usize,
            self.time as usize,
            content.len(),
            0, // device, major and minor
            0,
            0, // of a device file
            0,
            name_size,
            0, // checksum, of another variant
        ];
        for number in numbers {
            out.extend_from_slice(format!("{number:08x}").as_bytes());
        }
        out.extend_from_slice(name.as_bytes());
        out.push(0);
        pad(out);
        out.extend_from_slice(content);
        pad(out);
    }
}

fn pad(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(4), 0);
}
