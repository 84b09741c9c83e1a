// SPDX-License-Identifier: Apache-2.0
//! The hooks installed on a host, with checksums (VDSM contract, installed hooks).

use crate::chain::Engine;
use crate::event::CustomProperties;
use crate::file_state::FileState;
use crate::machine::Machine;
use crate::outcome::Trouble;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use virt_hooks_contract::{Catalogue, Point, hexadecimal};

/// Checksums already made, by what would differ if the file did.
#[derive(Default)]
pub(crate) struct Checksums(Mutex<HashMap<FileState, String>>);

impl Checksums {
    /// The SHA-256 of a file in hexadecimal; empty where it cannot be read, as under VDSM.
    fn of(&self, path: &Path) -> String {
        self.try_of(path).unwrap_or_default()
    }

    fn try_of(&self, path: &Path) -> io::Result<String> {
        let mut file = File::open(path)?;
        let state = FileState::of(&rustix::fs::fstat(&file)?);
        if let Some(known) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&state) {
            return Ok(known.clone());
        }
        let mut hasher = Sha256::new();
        let mut chunk = vec![0; 64 << 10];
        loop {
            match io::Read::read(&mut file, &mut chunk)? {
                0 => break,
                n => hasher.update(&chunk[..n]),
            }
        }
        let sum = hexadecimal(&hasher.finalize());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(state, sum.clone());
        Ok(sum)
    }
}

impl Engine {
    /// What the hooks of `points` make of a VM rests on: which hooks there are, what is in them, and the custom
    /// properties of the VM and its devices. SHA-256, in hexadecimal; the VM's own name and UUID are not part of it.
    ///
    /// # Errors
    /// A directory is there but cannot be listed.
    pub fn fingerprint(&self, points: &[&Point], machine: &Machine) -> Result<String, Trouble> {
        let mut hasher = Sha256::new();
        // Lengths first: no two lists of texts are written the same.
        let mut add = |text: &[u8]| {
            hasher.update((text.len() as u64).to_le_bytes());
            hasher.update(text);
        };
        for point in points {
            add(point.name.as_bytes());
            for hook in self.chain(point)?.hooks {
                add(hook.name().as_encoded_bytes());
                add(self.checksums.of(&hook.path).as_bytes());
            }
        }
        add(b"");
        let mut properties = |properties: &CustomProperties| {
            let sorted: BTreeMap<&[u8], &[u8]> = properties.iter().collect();
            for (name, value) in sorted {
                add(name);
                add(value);
            }
        };
        properties(&machine.vm.properties);
        for device in machine.custom_devices() {
            properties(device.properties());
        }
        Ok(hexadecimal(&hasher.finalize()))
    }

    /// Point → file name → SHA-256, for every directory of every layer that holds a hook that would run:
    /// also directories that are not hook points, as under VDSM. Layers that are missing give nothing.
    ///
    /// # Errors
    /// A directory is there but cannot be listed.
    pub fn installed(&self) -> Result<BTreeMap<String, BTreeMap<String, String>>, Trouble> {
        let mut directories = BTreeSet::new();
        for root in &self.settings.layers {
            match std::fs::read_dir(root) {
                Ok(entries) => directories.extend(
                    entries
                        .flatten()
                        .filter(|e| e.path().is_dir())
                        .filter_map(|e| e.file_name().into_string().ok()),
                ),
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(Trouble::ListHooks { path: root.clone(), source }),
            }
        }
        let catalogue = Catalogue::built_in();
        let mut installed = BTreeMap::new();
        for directory in directories {
            let chain = match catalogue.get(&directory) {
                Some(point) => self.chain(point)?,
                None => self.chain(&Point::unknown(&directory))?,
            };
            let sums: BTreeMap<String, String> = chain
                .hooks
                .iter()
                .map(|h| (h.name().to_string_lossy().into_owned(), self.checksums.of(&h.path)))
                .collect();
            if !sums.is_empty() {
                installed.insert(directory, sums);
            }
        }
        Ok(installed)
    }
}
