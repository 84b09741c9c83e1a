// SPDX-License-Identifier: Apache-2.0
//! UUIDs for VMs that come without one.

/// A random UUID (version 4).
pub(crate) fn random_uuid() -> Result<String, std::io::Error> {
    let mut b = [0u8; 16];
    rustix::rand::getrandom(&mut b, rustix::rand::GetRandomFlags::empty())?;
    b[6] = b[6] & 0x0f | 0x40;
    b[8] = b[8] & 0x3f | 0x80;
    let n = u128::from_be_bytes(b);
    Ok(format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        n >> 96,
        n >> 80 & 0xffff,
        n >> 64 & 0xffff,
        n >> 48 & 0xffff,
        n & 0xffff_ffff_ffff
    ))
}

/// A UUID as libvirt writes it, from what libvirt reads: any letter case, dashes or none.
pub(crate) fn canonical_uuid(text: &str) -> Option<String> {
    let digits: String = text.trim().chars().filter(|c| *c != '-').collect::<String>().to_ascii_lowercase();
    (digits.len() == 32 && digits.bytes().all(|b| b.is_ascii_hexdigit()))
        .then(|| [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids() {
        let u = random_uuid().unwrap();
        assert_eq!(canonical_uuid(&u).as_deref(), Some(u.as_str()));
        assert_eq!((&u[14..15], "89ab".contains(&u[19..20])), ("4", true));
        assert_ne!(u, random_uuid().unwrap());
        assert_eq!(
            canonical_uuid(" 6F0C2A3E111142228333444455556666 ").as_deref(),
            Some("6f0c2a3e-1111-4222-8333-444455556666")
        );
        assert_eq!(canonical_uuid("6f0c"), None);
        assert_eq!(canonical_uuid("é"), None);
    }
}
