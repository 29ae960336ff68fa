//! Turns an inline request into the form every other part of Pointsman reads.

use super::RequestError;

/// Appends the line (with or without its end) to `out` as a multibulk request and returns the number of its arguments.
/// Words are split by Redis's own rules: white space, `"..."` with escapes, `'...'` with `\'`, and a quote must be followed
/// by white space. A blank line gives 0 and appends nothing.
pub fn expand_inline(line: &[u8], out: &mut Vec<u8>) -> Result<usize, RequestError> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    // Redis splits a C string: what is behind a zero byte doesn't exist.
    let line = line.split(|&b| b == 0).next().unwrap_or_default();
    let mut words = Vec::new();
    let mut rest = line;
    loop {
        rest = match rest {
            [] => break,
            [b, tail @ ..] if is_space(*b) => tail,
            _ => {
                let (word, tail) = split_word(rest)?;
                words.push(word);
                tail
            }
        };
    }
    if words.is_empty() {
        return Ok(0);
    }
    out.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in &words {
        out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
    Ok(words.len())
}

/// White space as C's `isspace` sees it, which has one character more than Rust's ASCII white space: the vertical tab.
fn is_space(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 0x0b
}

/// Cuts the first word off `text`, which doesn't begin with white space.
fn split_word(text: &[u8]) -> Result<(Vec<u8>, &[u8]), RequestError> {
    let mut word = Vec::new();
    let mut rest = text;
    loop {
        match rest {
            [] => return Ok((word, rest)),
            [b, ..] if is_space(*b) => return Ok((word, rest)),
            [quote @ (b'"' | b'\''), tail @ ..] => {
                let tail = quoted(*quote, tail, &mut word)?;
                return match tail.first() {
                    Some(&b) if !is_space(b) => Err(RequestError::UnbalancedQuotes),
                    _ => Ok((word, tail)),
                };
            }
            [b, tail @ ..] => {
                word.push(*b);
                rest = tail;
            }
        }
    }
}

/// Reads up to the closing quote and returns what is behind it.
fn quoted<'a>(quote: u8, mut rest: &'a [u8], word: &mut Vec<u8>) -> Result<&'a [u8], RequestError> {
    loop {
        rest = match rest {
            [] => return Err(RequestError::UnbalancedQuotes),
            [b, tail @ ..] if *b == quote => return Ok(tail),
            [b'\\', b'x', high, low, tail @ ..]
                if quote == b'"' && high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                word.push(hex(*high) * 16 + hex(*low));
                tail
            }
            [b'\\', escaped, tail @ ..] if quote == b'"' => {
                word.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 8,
                    b'a' => 7,
                    other => *other,
                });
                tail
            }
            [b'\\', b'\'', tail @ ..] if quote == b'\'' => {
                word.push(b'\'');
                tail
            }
            [b, tail @ ..] => {
                word.push(*b);
                tail
            }
        };
    }
}

/// The value of a hexadecimal digit (the caller has checked that it is one).
fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        other => other.to_ascii_lowercase().wrapping_sub(b'a').wrapping_add(10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expand(line: &[u8]) -> Result<Vec<u8>, RequestError> {
        let mut out = Vec::new();
        expand_inline(line, &mut out).map(|_| out)
    }

    #[test]
    fn splits_as_redis_does() {
        assert_eq!(expand(b"PING\r\n").unwrap(), b"*1\r\n$4\r\nPING\r\n");
        assert_eq!(expand(b"  set  k\tv \n").unwrap(), b"*3\r\n$3\r\nset\r\n$1\r\nk\r\n$1\r\nv\r\n");
        assert_eq!(
            expand(br#"set "a b\x41\n" 'c\'d\n'"#).unwrap(),
            b"*3\r\n$3\r\nset\r\n$5\r\na bA\n\r\n$5\r\nc'd\\n\r\n"
        );
        assert_eq!(expand(br#"set "" x"y z""#).unwrap(), b"*3\r\n$3\r\nset\r\n$0\r\n\r\n$4\r\nxy z\r\n");
        assert_eq!(expand(b"a\x0bb").unwrap(), b"*2\r\n$1\r\na\r\n$1\r\nb\r\n");
    }

    #[test]
    fn blank_lines_are_nothing() {
        for blank in [&b"\r\n"[..], b"\n", b"   \r\n", b"\x0b\x0b \x0b\n", b"\0x\n"] {
            assert_eq!(expand(blank).unwrap(), b"", "{blank:?}");
        }
    }

    #[test]
    fn unbalanced_quotes_are_refused() {
        for bad in [&b"set \"k"[..], b"set 'k", b"set \"k\"x", b"set 'k'x", b"\"\\", b"'\\'"] {
            assert_eq!(expand(bad), Err(RequestError::UnbalancedQuotes), "{bad:?}");
        }
    }
}
