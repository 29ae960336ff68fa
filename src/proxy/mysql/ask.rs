//! Pointsman's own statements on a session's connection to a node, while nothing of the application's is under way there.
//!
//! Input: statements. Output: their answers, of a result set the first row. Never: more than a few kilobytes of an answer.

use super::open::Backend;
use crate::protocol::mysql::{
    capability::{Capabilities, command},
    error::{Code, ErrPacket},
    packet::{self, HEADER},
    response::{Found, ResponseScanner},
    wire::Cursor,
};
use std::io;

/// The longest answer that is read.
const LONGEST: usize = 256 * 1024;

/// Why there is no answer.
#[derive(Debug)]
pub enum AskError {
    /// The connection broke.
    Lost,
    /// The node said no.
    Refused(Code, String),
}

impl From<io::Error> for AskError {
    fn from(_: io::Error) -> Self {
        Self::Lost
    }
}

/// What a node answered.
#[derive(Debug, Default)]
pub struct Answer {
    /// The first row of a result set, column by column.
    pub row: Option<Vec<Option<Vec<u8>>>>,
    /// The status flags at its end.
    pub status: u16,
    /// The id of what was prepared.
    pub statement: Option<u32>,
    /// All packets of the answer, as they came.
    pub bytes: Vec<u8>,
}

/// Appends a statement's text as `COM_QUERY`, without attributes.
pub fn query(out: &mut Vec<u8>, capabilities: Capabilities, text: &[u8]) {
    packet::write_with(out, 0, |out| {
        out.push(command::QUERY);
        if capabilities.has(Capabilities::QUERY_ATTRIBUTES) {
            // No attributes, in one set of them.
            out.extend_from_slice(&[0, 1]);
        }
        out.extend_from_slice(text);
    });
}

/// Asks several questions in one go. Ends at the first that is refused.
pub async fn ask_all(backend: &mut Backend, texts: &[&str]) -> Result<Vec<Answer>, AskError> {
    let mut out = Vec::new();
    for text in texts {
        query(&mut out, backend.capabilities, text.as_bytes());
    }
    let commands = vec![command::QUERY; texts.len()];
    let mut answers = Vec::with_capacity(texts.len());
    for answer in say(backend, &out, &commands).await? {
        answers.push(answer?);
    }
    Ok(answers)
}

/// Sends commands, whole packets, and reads the answer of each: what came, or what the node said against it.
pub async fn say(
    backend: &mut Backend,
    bytes: &[u8],
    commands: &[u8],
) -> Result<Vec<Result<Answer, AskError>>, AskError> {
    backend.line.send(bytes).await?;
    let mut unread = Vec::new();
    let mut answers = Vec::with_capacity(commands.len());
    for &command in commands {
        answers.push(read(backend, command, &mut unread).await?);
    }
    if unread.is_empty() { Ok(answers) } else { Err(AskError::Lost) }
}

async fn read(backend: &mut Backend, command: u8, unread: &mut Vec<u8>) -> Result<Result<Answer, AskError>, AskError> {
    let mut scanner = ResponseScanner::new(command, backend.capabilities);
    let mut answer = Answer::default();
    let mut refused = None;
    while !scanner.ended() {
        let step = scanner.next(unread).map_err(|_| AskError::Lost)?;
        let mut used = step.pass;
        let packet = |len: usize| unread.get(step.pass + HEADER..step.pass + len).unwrap_or_default();
        match step.found {
            Found::Nothing { wanted } => {
                answer.bytes.extend(unread.drain(..used));
                if wanted > 0 {
                    backend.line.read(unread).await?;
                }
                if answer.bytes.len() + unread.len() > LONGEST {
                    return Err(AskError::Lost);
                }
                continue;
            }
            Found::Ok { len, status } => {
                answer.status = status;
                used += len;
            }
            Found::Err { len, .. } => {
                let error = ErrPacket::read(packet(len)).map_err(|_| AskError::Lost)?;
                let code = Code { number: error.number, state: error.state.unwrap_or(*b"HY000") };
                refused = Some(AskError::Refused(code, String::from_utf8_lossy(error.text).into_owned()));
                used += len;
            }
            Found::Prepared { len, statement, .. } => {
                answer.statement = Some(statement);
                used += len;
            }
            // Nobody asked for a file.
            Found::LocalInfile { .. } => return Err(AskError::Lost),
        }
        answer.bytes.extend(unread.drain(..used));
    }
    if command == command::QUERY {
        answer.row = first_row(&answer.bytes, backend.capabilities);
    }
    Ok(refused.map_or(Ok(answer), Err))
}

/// The first row of a text result set.
fn first_row(bytes: &[u8], capabilities: Capabilities) -> Option<Vec<Option<Vec<u8>>>> {
    let mut rest = bytes;
    let mut next = || {
        let (header, payload) = packet::read(rest)?;
        rest = rest.get(HEADER + header.len..)?;
        Some(payload)
    };
    let columns = Cursor::new(next()?).lenenc().ok().filter(|columns| (1..100).contains(columns))?;
    for _ in 0..columns {
        next()?;
    }
    if !capabilities.has(Capabilities::DEPRECATE_EOF) {
        next()?;
    }
    let row = next()?;
    if row.first() == Some(&0xfe) {
        return None;
    }
    let mut cursor = Cursor::new(row);
    let mut values = Vec::new();
    for _ in 0..columns {
        let null = cursor.left().first() == Some(&0xfb);
        values.push(if null {
            cursor.u8().ok()?;
            None
        } else {
            Some(cursor.lenenc_bytes().ok()?.to_vec())
        });
    }
    Some(values)
}
