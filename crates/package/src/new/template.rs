// SPDX-License-Identifier: Apache-2.0
//! Templates: `@name@` is a value, and lines between `%if flag` (or `%if-not flag`), `%else` and `%end` are there or not.

/// What a template is filled with.
#[derive(Debug, Default)]
pub(super) struct Values {
    texts: Vec<(&'static str, String)>,
    flags: Vec<&'static str>,
}

impl Values {
    pub(super) fn text(&mut self, name: &'static str, value: impl Into<String>) {
        self.texts.push((name, value.into()));
    }

    pub(super) fn flag(&mut self, name: &'static str, holds: bool) {
        self.flags.retain(|f| *f != name);
        if holds {
            self.flags.push(name);
        }
    }

    /// The template with these values in it. A value may hold anything: it is not looked into again.
    pub(super) fn fill(&self, template: &str) -> String {
        let mut out = String::with_capacity(template.len());
        let mut shown = true;
        for line in template.lines() {
            match line.split_once(' ') {
                Some(("%if", flag)) => shown = self.flags.contains(&flag),
                Some(("%if-not", flag)) => shown = !self.flags.contains(&flag),
                _ if line == "%else" => shown = !shown,
                _ if line == "%end" => shown = true,
                _ if shown => {
                    self.fill_line(line, &mut out);
                    out.push('\n');
                }
                _ => {}
            }
        }
        out
    }

    fn fill_line(&self, line: &str, out: &mut String) {
        let mut rest = line;
        while let Some(at) = rest.find('@') {
            let after = &rest[at + 1..];
            let value = after.split_once('@').and_then(|(name, after)| {
                let (_, value) = self.texts.iter().rev().find(|(n, _)| *n == name)?;
                Some((value, after))
            });
            out.push_str(&rest[..at]);
            rest = match value {
                Some((value, after)) => {
                    out.push_str(value);
                    after
                }
                None => {
                    out.push('@');
                    after
                }
            };
        }
        out.push_str(rest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_and_blocks() {
        let mut values = Values::default();
        values.text("a", "1@b@");
        values.text("b", "2");
        values.flag("yes", true);
        let template =
            "x@a@y @b@@ @c@\n%if yes\nin\n%else\nout\n%end\n%if-not yes\nout\n%end\n%if no\nout\n%end\nlast";
        assert_eq!(values.fill(template), "x1@b@y 2@ @c@\nin\nlast\n");
    }
}
