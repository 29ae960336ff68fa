//! What of a reply can't be the same twice: masked where a script says so, and only there.

/// How much of a reply is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mask {
    /// Every byte.
    None,
    /// Numbers are not: ids, ports, ages, sizes.
    Numbers,
    /// Only its type.
    Type,
    /// The order of elements is not: hash tables are seeded at random.
    Order,
}

impl Mask {
    /// The mask of a sign in a script.
    pub fn of(sign: char) -> Option<Self> {
        match sign {
            '#' => Some(Self::Numbers),
            '~' => Some(Self::Type),
            '*' => Some(Self::Order),
            _ => None,
        }
    }

    /// The reply as it is compared and shown.
    pub fn apply(self, frame: &[u8]) -> String {
        match self {
            Self::None => shown(frame),
            Self::Numbers => without_numbers(&frame.escape_ascii().to_string()),
            Self::Type => format!("{}…", frame[..1].escape_ascii()),
            Self::Order => {
                let mut rest = frame;
                sorted(&mut rest)
            }
        }
    }
}

/// Small frames as text, large ones by length, ends and a checksum.
fn shown(frame: &[u8]) -> String {
    if frame.len() <= 2000 {
        return frame.escape_ascii().to_string();
    }
    let sum = frame
        .iter()
        .fold(14_695_981_039_346_656_037_u64, |sum, &byte| (sum ^ u64::from(byte)).wrapping_mul(1_099_511_628_211));
    let (head, tail) = (&frame[..60], &frame[frame.len() - 20..]);
    format!("{} … {} ({} bytes, {sum:016x})", head.escape_ascii(), tail.escape_ascii(), frame.len())
}

fn without_numbers(text: &str) -> String {
    let mut out = String::new();
    for character in text.chars() {
        match character {
            '0'..='9' if out.ends_with('N') => {}
            '0'..='9' => out.push('N'),
            other => out.push(other),
        }
    }
    out
}

/// The first value of `rest` with the elements of every aggregate in order; takes it off `rest`.
fn sorted(rest: &mut &[u8]) -> String {
    let end = rest.windows(2).position(|two| two == b"\r\n").expect("a whole reply");
    let (line, after) = (&rest[..end], &rest[end + 2..]);
    let number = std::str::from_utf8(&line[1..]).ok().and_then(|text| text.parse::<i64>().ok());
    *rest = after;
    match (line[0], number.and_then(|number| usize::try_from(number).ok())) {
        (b'$' | b'=', Some(length)) => {
            let text = after[..length].escape_ascii().to_string();
            *rest = &after[length + 2..];
            text
        }
        (b'*' | b'~' | b'>', Some(count)) => {
            let mut values: Vec<String> = (0..count).map(|_| sorted(rest)).collect();
            values.sort();
            format!("{}[{}]", char::from(line[0]), values.join(" "))
        }
        (b'%', Some(count)) => {
            let mut pairs: Vec<String> = (0..count).map(|_| format!("{}={}", sorted(rest), sorted(rest))).collect();
            pairs.sort();
            format!("%[{}]", pairs.join(" "))
        }
        _ => line.escape_ascii().to_string(),
    }
}

#[test]
fn masks_hide_what_they_say() {
    let frame = b"*3\r\n$1\r\nb\r\n:12\r\n*2\r\n+z\r\n+a\r\n";
    assert_eq!(Mask::Order.apply(frame), "*[*[+a +z] :12 b]");
    assert_eq!(Mask::Numbers.apply(b":12\r\n"), ":N\\r\\n");
    assert_eq!(Mask::Type.apply(frame), "*…");
    assert_eq!(Mask::Order.apply(b"%1\r\n$1\r\nk\r\n,1.5\r\n"), "%[k=,1.5]");
    assert_ne!(Mask::None.apply(&[b'x'; 3000]), Mask::None.apply(&[b'y'; 3000]));
}
