//! Patterns of lines (`tests/conformance/README.md`, "Lines").

/// Whether a whole line matches a pattern.
pub fn matches(pattern: &str, line: &str) -> bool {
    if let Some(rest) = pattern.strip_prefix("<quoted>") {
        return quoted(line).is_some_and(|end| matches(rest, &line[end..]));
    }
    let mut characters = pattern.chars();
    match characters.next() {
        None => line.is_empty(),
        Some('*') => {
            let rest = characters.as_str();
            let ends = line.char_indices().map(|(at, _)| at);
            let mut ends = ends.chain([line.len()]);
            ends.any(|at| matches(rest, &line[at..]))
        }
        Some(wanted) => {
            let rest = line.strip_prefix(wanted);
            rest.is_some_and(|rest| matches(characters.as_str(), rest))
        }
    }
}

/// Where the quoted message ends that a text begins with.
fn quoted(text: &str) -> Option<usize> {
    let mut octets = text.bytes().enumerate().skip(1);
    let mut length = 0;
    if !text.starts_with('"') {
        return None;
    }
    while let Some((at, octet)) = octets.next() {
        match octet {
            b'"' => return (length <= 400).then_some(at + 1),
            b'\\' => match octets.next()?.1 {
                b'"' | b'\\' => {}
                b'x' => {
                    let digits = [octets.next()?.1, octets.next()?.1];
                    if !digits.iter().all(u8::is_ascii_hexdigit) {
                        return None;
                    }
                }
                _ => return None,
            },
            b' '..=b'~' => {}
            _ => return None,
        }
        length += 1;
    }
    None
}

/// Those of `wanted` for which no line of their own is there. Each is a list
/// of patterns of which one is to match.
pub fn missing(wanted: &[Vec<String>], lines: &[String]) -> Vec<String> {
    let mut left: Vec<&String> = lines.iter().collect();
    let mut lacking = Vec::new();
    for patterns in wanted {
        let matches = |line: &&String| patterns.iter().any(|one| matches(one, line));
        match left.iter().position(matches) {
            Some(at) => drop(left.remove(at)),
            None => lacking.push(patterns.join(" or ")),
        }
    }
    lacking
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns_match_whole_lines() {
        for (pattern, line, is_match) in [
            ("INIT 1 0", "INIT 1 0", true),
            ("INIT 1 0", "INIT 1 0 ", false),
            ("RESOLVED 1 *", "RESOLVED 1 0 x", true),
            ("RESOLVED 1 *", "RESOLVED 11 0 x", false),
            ("*6.6.6.6*", "RESOLVED 1 0 6.6.6.6", true),
            ("1 <quoted>", r#"1 "a \"b\" \\ \x0a""#, true),
            ("1 <quoted>", r#"1 "a" b""#, false),
            ("1 <quoted>", r#"1 "a\n""#, false),
            ("1 <quoted>", r#"1 "a\xg0""#, false),
            ("1 <quoted>", "1 a", false),
            ("1 <quoted>", "1 \"é\"", false),
            ("1 <quoted>", "1 \"", false),
        ] {
            assert_eq!(matches(pattern, line), is_match, "{pattern} {line}");
        }
        for (length, is_match) in [(400, true), (401, false)] {
            let line = format!("\"{}\"", r"\x00".repeat(length));
            assert_eq!(matches("<quoted>", &line), is_match, "{length}");
        }
    }
}
