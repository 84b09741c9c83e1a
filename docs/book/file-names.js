// SPDX-License-Identifier: Apache-2.0
// A block that is a file (```toml file=NAME) has the name above it.
for (const code of document.querySelectorAll('code[class*="file="]')) {
    const named = /(?:^|[\s,])file=(\S+)/.exec(code.className);
    const block = code.closest('pre');
    if (!named || !block) continue;
    const name = document.createElement('p');
    name.className = 'file-name';
    name.textContent = named[1];
    block.before(name);
}
