// SPDX-License-Identifier: Apache-2.0
//! What a hook changed, for people.

use crate::event::Document;
use crate::outcome::Change;
use crate::secrets::Secrets;
use similar::TextDiff;
use std::sync::Arc;
use std::time::Duration;
use virt_hooks_contract::PayloadKind;

/// A unified diff of the payload before and after a hook, secrets masked.
///
/// Many hooks write the whole document anew, with other quotes, without the last line end. What means the
/// same is written the same here, so that the diff has what was changed and nothing else.
pub(crate) fn unified(change: &Change) -> String {
    let (before, after) = (text(change, change.before.bytes()), text(change, change.after.bytes()));
    if before == after {
        return match change.secrets.differ(change.before.bytes(), change.after.bytes()) {
            true => "(only secrets changed)\n",
            false => "(only the way it is written changed)\n",
        }
        .to_owned();
    }
    // A diff of two unlike documents of megabytes would take minutes to be minimal.
    let mut config = TextDiff::configure();
    config.timeout(Duration::from_secs(2));
    config.diff_lines(&before, &after).unified_diff().context_radius(2).header("before", "after").to_string()
}

/// A unified diff of two domain XMLs as [`Run::diff`](crate::Run::diff) shows one; empty where they mean the same.
/// Secrets that either holds are masked.
pub fn unified_xml(before: &str, after: &str) -> String {
    let mut secrets = Secrets::default();
    let (before, after) = (Document::from(before), Document::from(after));
    secrets.learn(&before);
    secrets.learn(&after);
    let change = Change { kind: PayloadKind::Xml, before, after, secrets: Arc::new(secrets), told: None };
    if change.before == change.after { String::new() } else { unified(&change) }
}

fn text(change: &Change, bytes: &[u8]) -> String {
    let plain = match change.kind {
        // A one-line document would be one changed line.
        PayloadKind::Json => serde_json::from_slice::<serde_json::Value>(bytes)
            .ok()
            .and_then(|v| serde_json::to_string_pretty(&v).ok()),
        PayloadKind::Xml => std::str::from_utf8(bytes).ok().map(plain_xml),
        PayloadKind::None => None,
    };
    let mut text = change.secrets.mask(plain.as_deref().map_or(bytes, str::as_bytes));
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

/// XML with double quotes, `<a/>` for `<a />`, plain line ends, and no declaration. Comments, CDATA and
/// processing instructions stay as they are.
fn plain_xml(xml: &str) -> String {
    let mut out = String::with_capacity(xml.len());
    let mut rest = xml.trim_start_matches('\u{feff}');
    if rest.starts_with("<?xml ")
        && let Some(end) = rest.find("?>")
    {
        rest = rest[end + 2..].trim_start();
    }
    while let Some(open) = rest.find('<') {
        out.push_str(&rest[..open]);
        rest = &rest[open..];
        let verbatim = [("<!--", "-->"), ("<![CDATA[", "]]>"), ("<?", "?>")]
            .into_iter()
            .find(|(start, _)| rest.starts_with(start))
            .map(|(start, end)| {
                rest[start.len()..].find(end).map_or(rest.len(), |at| start.len() + at + end.len())
            });
        let end = match verbatim {
            Some(end) => {
                out.push_str(&rest[..end]);
                end
            }
            None => plain_tag(rest, &mut out),
        };
        rest = &rest[end..];
    }
    out.push_str(rest);
    out.replace("\r\n", "\n")
}

/// Writes one tag and says how long it was.
fn plain_tag(tag: &str, out: &mut String) -> usize {
    let mut quote = None;
    let mut value = 0;
    for (at, c) in tag.char_indices() {
        match (quote, c) {
            (None, '"' | '\'') => {
                quote = Some(c);
                value = at + 1;
                continue;
            }
            (Some(q), _) if c == q => {
                // Double quotes inside would have to be escaped: leave those as they are.
                let text = &tag[value..at];
                let q = if text.contains('"') { q } else { '"' };
                out.push(q);
                out.push_str(text);
                out.push(q);
                quote = None;
                continue;
            }
            (Some(_), _) => continue,
            (None, '/' | '>') => out.truncate(out.trim_end().len()),
            (None, _) => {}
        }
        out.push(c);
        if c == '>' {
            return at + 1;
        }
    }
    tag.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_means_the_same_is_written_the_same() {
        assert_eq!(
            plain_xml(
                "\u{feff}<?xml version='1.0'?>\r\n<a b='1' c = \"2\" d='\"'><e  /></a >\r\n<!-- 'x' /> -->"
            ),
            "<a b=\"1\" c = \"2\" d='\"'><e/></a>\n<!-- 'x' /> -->"
        );
        assert_eq!(plain_xml("<a><![CDATA[ <b c='d' /> ]]></a>"), "<a><![CDATA[ <b c='d' /> ]]></a>");
    }

    #[test]
    fn anything_goes_in() {
        for odd in ["", "<", "<a b='", "<!--", "<?xml ", "a<b c='\u{e9}", "<?x", "<![CDATA[", "é<é é='é'/>é"]
        {
            plain_xml(odd);
        }
    }
}
