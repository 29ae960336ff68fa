//! Reads the decimal number of a header line (`*3\r\n`, `$12\r\n`) by Redis's own strict rules.

/// What was found where a number should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Number {
    /// The line isn't complete yet.
    Cut,
    /// The line is complete and no number that Redis accepts (empty, signs, leading zeros, too large).
    Bad,
    /// The number, and the offset behind its line.
    Value(i64, usize),
}

/// The longest line that can hold an `i64`: a sign and 19 digits.
const LONGEST: usize = 20;

/// Reads the number in the line that starts at `from`; `searched` bytes of it are known to hold no `\r`.
///
/// `\r` ends the line, and `\n` must follow: not every server looks, but those that do close the connection.
#[inline]
pub(super) fn number(buf: &[u8], from: usize, searched: usize) -> Number {
    // Nearly every header line has one digit or two.
    match buf.get(from..).unwrap_or_default() {
        [one @ b'0'..=b'9', b'\r', b'\n', ..] => Number::Value(i64::from(one - b'0'), from + 3),
        [ten @ b'1'..=b'9', one @ b'0'..=b'9', b'\r', b'\n', ..] => {
            Number::Value(i64::from(ten - b'0') * 10 + i64::from(one - b'0'), from + 4)
        }
        line => longer(line, from, searched),
    }
}

/// More digits, all there: eighteen can't overflow.
#[inline(never)]
fn longer(line: &[u8], from: usize, searched: usize) -> Number {
    let mut value: i64 = 0;
    for (i, &byte) in line.iter().enumerate().take(18) {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            if byte != b'\r' || i == 0 || (i > 1 && line.first() == Some(&b'0')) {
                break;
            }
            return match line.get(i + 1) {
                Some(b'\n') => Number::Value(value, from + i + 2),
                Some(_) => Number::Bad,
                None => Number::Cut,
            };
        }
        value = value * 10 + i64::from(digit);
    }
    if line.starts_with(b"-1\r\n") {
        // Every read of a key that isn't there is answered with it.
        return Number::Value(-1, from + 4);
    }
    uncommon(line, from, searched)
}

/// Everything else: a cut line, a sign, many digits, or garbage.
#[cold]
fn uncommon(line: &[u8], from: usize, searched: usize) -> Number {
    let rest = line.get(searched..).unwrap_or_default();
    let Some(end) = rest.iter().position(|&b| b == b'\r').map(|at| at + searched) else { return Number::Cut };
    match (line.get(end + 1), line.get(..end).and_then(strict)) {
        (None, _) => Number::Cut,
        (Some(b'\n'), Some(value)) => Number::Value(value, from + end + 2),
        _ => Number::Bad,
    }
}

/// A number by the rules of Redis's `string2ll`: no `+`, no leading zero, no `-0`, nothing around it.
pub(in crate::protocol::redis) fn strict(text: &[u8]) -> Option<i64> {
    if text.len() > LONGEST {
        return None;
    }
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let plain = digits.iter().all(u8::is_ascii_digit) && (digits.first() != Some(&b'0') || text == b"0");
    if !plain {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_what_redis_accepts() {
        assert_eq!(number(b"$0\r\n", 1, 0), Number::Value(0, 4));
        assert_eq!(number(b"$12\r\nab", 1, 0), Number::Value(12, 5));
        assert_eq!(number(b"*-1\r\n", 1, 0), Number::Value(-1, 5));
        assert_eq!(number(b"9223372036854775807\r\n", 0, 0), Number::Value(i64::MAX, 21));
        assert_eq!(number(b"-9223372036854775808\r\n", 0, 0), Number::Value(i64::MIN, 22));
    }

    #[test]
    fn refuses_what_redis_refuses() {
        for bad in [
            "\r\n",
            "+1\r\n",
            "01\r\n",
            "-0\r\n",
            "1 \r\n",
            " 1\r\n",
            "x\r\n",
            "-\r\n",
            "1\rx",
            "-1\rx",
            "9223372036854775808\r\n",
        ] {
            assert_eq!(number(bad.as_bytes(), 0, 0), Number::Bad, "{bad:?}");
        }
        assert_eq!(number(b"11111111111111111111111111111111111111\r\n", 0, 0), Number::Bad);
    }

    #[test]
    fn waits_for_the_whole_line() {
        for cut in ["", "1", "12", "12\r", "-", "x", "\r"] {
            assert_eq!(number(cut.as_bytes(), 0, 0), Number::Cut, "{cut:?}");
        }
        assert_eq!(number(b"$", 7, 0), Number::Cut, "a start behind the end is a line that has not come yet");
    }
}
