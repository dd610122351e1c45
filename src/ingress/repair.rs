//! Repair of request lines, so that an HTTP parser accepts the requests of phones.
//!
//! Phones put callers' names into the request line unescaped: blanks, quotes, angle brackets, `#`,
//! bytes that are no UTF-8. A parser answers 400 before any handler runs, and the event is lost. So
//! the request line is repaired on the socket: characters that a target must not contain become
//! percent escapes, all others pass unchanged. To find the next request line on a kept-alive
//! connection, the headers and bodies in between are followed, and passed on byte by byte.
//!
//! A proxy in front may see other boundaries between requests than the parser here, where a line
//! was repaired or headers contradict each other. A phone does not repeat its event, so such a
//! request is served; but a `Connection: close` that is added to it makes the parser close the
//! connection after it, so that no later byte is taken for a request of another sender.
//!
//! Limits: a request line longer than 16 KiB is passed on unrepaired. Memory of a connection is one
//! line.

use percent_encoding::percent_encode_byte;

/// A longer request line is passed on unrepaired; the HTTP parser refuses it.
const LINE_BYTES_MAX: usize = 16 * 1024;
/// The beginning of a header line that is stored to recognise it.
const HEADER_BYTES_MAX: usize = 256;
/// Makes this request the last of its connection.
const CLOSE: &[u8] = b"Connection: close\r\n";

/// The repair of one connection. Input arrives as the socket delivers it, in pieces of any size.
#[derive(Debug)]
pub struct LineRepair {
    state: State,
    /// The request line, or the beginning of the header line, read so far.
    line: Vec<u8>,
    body: BodyLength,
    headers: SeenHeaders,
    repaired: u64,
}

/// The headers of the current request that must stand alone.
#[derive(Clone, Copy, Debug, Default)]
struct SeenHeaders {
    host: bool,
    content_length: bool,
    transfer_encoding: bool,
}

impl SeenHeaders {
    /// Adds a header. Returns whether a proxy may read the request otherwise because of it.
    fn add(&mut self, name: &[u8], is_cut: bool) -> bool {
        let is = |expected: &[u8]| name.eq_ignore_ascii_case(expected);

        if is(b"host") {
            std::mem::replace(&mut self.host, true)
        } else if is(b"content-length") {
            is_cut | std::mem::replace(&mut self.content_length, true) | self.transfer_encoding
        } else if is(b"transfer-encoding") {
            is_cut | std::mem::replace(&mut self.transfer_encoding, true) | self.content_length
        } else {
            is(b"upgrade")
        }
    }
}

/// The element of the HTTP stream that the next byte belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    RequestLine,
    /// A request line that is too long to repair.
    Overlong,
    Header,
    Body {
        left: u64,
    },
    ChunkSize,
    Chunk {
        left: u64,
    },
    Trailer,
}

/// The delimitation of the current request's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BodyLength {
    Known(u64),
    Chunked,
}

impl Default for LineRepair {
    fn default() -> Self {
        LineRepair {
            state: State::RequestLine,
            line: Vec::new(),
            body: BodyLength::Known(0),
            headers: SeenHeaders::default(),
            repaired: 0,
        }
    }
}

impl LineRepair {
    /// The number of request lines that were changed.
    #[must_use]
    pub fn repaired(&self) -> u64 {
        self.repaired
    }

    /// Takes received bytes and appends repaired ones for the parser.
    pub fn feed(&mut self, mut input: &[u8], output: &mut Vec<u8>) {
        while !input.is_empty() {
            let taken = match self.state {
                State::RequestLine => self.take_request_line(input, output),
                State::Overlong => self.pass_overlong(input, output),
                State::Header | State::Trailer | State::ChunkSize => self.pass_line(input, output),
                State::Body { left } | State::Chunk { left } => self.pass_body(input, output, left),
            };
            input = &input[taken..];
        }
    }

    /// Ends the connection: an incomplete request line is passed on unrepaired.
    pub fn finish(&mut self, output: &mut Vec<u8>) {
        if self.state == State::RequestLine {
            output.append(&mut self.line);
        }
    }

    fn take_request_line(&mut self, input: &[u8], output: &mut Vec<u8>) -> usize {
        let (taken, ended) = rest_of_line(input);
        self.line.extend_from_slice(&input[..taken]);

        if self.line.len() > LINE_BYTES_MAX {
            output.append(&mut self.line);
            self.state = State::Overlong;
            if ended {
                self.begin_headers();
            }
        } else if ended {
            let blank = self.line.iter().all(|byte| matches!(byte, b'\r' | b'\n'));
            let before = output.len();
            repair_line(&self.line, output);
            if output[before..] != self.line[..] {
                self.repaired += 1;
                output.extend_from_slice(CLOSE);
            }
            self.line.clear();

            // Empty lines before a request line are allowed, and belong to no request.
            if !blank {
                self.begin_headers();
            }
        }

        taken
    }

    fn begin_headers(&mut self) {
        self.state = State::Header;
        self.body = BodyLength::Known(0);
        self.headers = SeenHeaders::default();
    }

    fn pass_overlong(&mut self, input: &[u8], output: &mut Vec<u8>) -> usize {
        let (taken, ended) = rest_of_line(input);
        output.extend_from_slice(&input[..taken]);
        if ended {
            self.begin_headers();
        }

        taken
    }

    /// Passes a line on unchanged, and reads it to find the element that follows. A header that
    /// makes the boundaries of the request doubtful is followed by the end of the connection.
    fn pass_line(&mut self, input: &[u8], output: &mut Vec<u8>) -> usize {
        let (taken, ended) = rest_of_line(input);
        output.extend_from_slice(&input[..taken]);
        let room = HEADER_BYTES_MAX.saturating_sub(self.line.len());
        self.line.extend_from_slice(&input[..taken.min(room)]);

        if ended {
            let line = std::mem::take(&mut self.line);
            if self.state == State::Header && self.is_doubtful(&line) {
                output.extend_from_slice(CLOSE);
            }
            if self.state == State::ChunkSize && line.len() == HEADER_BYTES_MAX {
                // Its end is not known here, so where the body ends is the parser's alone to say.
                self.state = State::Body { left: u64::MAX };
                return taken;
            }
            self.end_line(line.trim_ascii());
        }

        taken
    }

    fn end_line(&mut self, line: &[u8]) {
        self.state = match (self.state, line.is_empty()) {
            (State::Header, false) => {
                self.read_header(line);
                State::Header
            }
            (State::Header, true) => match self.body {
                BodyLength::Known(0) => State::RequestLine,
                BodyLength::Known(left) => State::Body { left },
                BodyLength::Chunked => State::ChunkSize,
            },
            (State::ChunkSize, _) => match chunk_size(line) {
                Some(0) => State::Trailer,
                // The line break after the chunk belongs to it.
                Some(size) => State::Chunk {
                    left: size.saturating_add(2),
                },
                None => State::Body { left: u64::MAX },
            },
            (State::Trailer, false) => State::Trailer,
            (_, _) => State::RequestLine,
        };
    }

    fn is_doubtful(&mut self, line: &[u8]) -> bool {
        let is_cut = line.len() == HEADER_BYTES_MAX;

        header(line).is_some_and(|(name, _)| self.headers.add(name, is_cut))
    }

    fn read_header(&mut self, line: &[u8]) {
        let Some((name, value)) = header(line) else {
            return;
        };

        if name.eq_ignore_ascii_case(b"content-length") && self.body != BodyLength::Chunked {
            let length = str::from_utf8(value)
                .ok()
                .and_then(|digits| digits.parse().ok());
            // The parser refuses an unreadable length; no request line follows it.
            self.body = BodyLength::Known(length.unwrap_or(u64::MAX));
        }

        if name.eq_ignore_ascii_case(b"transfer-encoding")
            && value.to_ascii_lowercase().ends_with(b"chunked")
        {
            self.body = BodyLength::Chunked;
        }
    }

    fn pass_body(&mut self, input: &[u8], output: &mut Vec<u8>, left: u64) -> usize {
        let taken = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
        output.extend_from_slice(&input[..taken]);

        let left = left - taken as u64;
        self.state = match (self.state, left) {
            (State::Chunk { .. }, 0) => State::ChunkSize,
            (State::Chunk { .. }, left) => State::Chunk { left },
            (_, 0) => State::RequestLine,
            (_, left) => State::Body { left },
        };

        taken
    }
}

/// The number of input bytes that belong to the current line, and whether the line ends there.
fn rest_of_line(input: &[u8]) -> (usize, bool) {
    let end = input.iter().position(|byte| *byte == b'\n');
    (end.map_or(input.len(), |end| end + 1), end.is_some())
}

/// Name and value of a header line.
fn header(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = line.iter().position(|byte| *byte == b':')?;

    Some((line[..colon].trim_ascii(), line[colon + 1..].trim_ascii()))
}

fn chunk_size(line: &[u8]) -> Option<u64> {
    let digits = line.split(|byte| *byte == b';').next()?.trim_ascii();

    u64::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()
}

/// Repairs one request line, its end included. A line without method, target and version is passed
/// on unchanged.
fn repair_line(line: &[u8], output: &mut Vec<u8>) {
    let version = line
        .windows(8)
        .rposition(|window| window.starts_with(b" HTTP/1."));
    let target = line
        .iter()
        .position(|byte| *byte == b' ')
        .map(|space| space + 1);
    let (Some(from), Some(to)) = (target, version) else {
        output.extend_from_slice(line);
        return;
    };
    if from >= to {
        output.extend_from_slice(line);
        return;
    }

    output.extend_from_slice(&line[..from]);
    repair_target(&line[from..to], output);
    output.extend_from_slice(&line[to..]);
}

fn repair_target(target: &[u8], output: &mut Vec<u8>) {
    let mut rest = without_host(target);
    while !rest.is_empty() {
        match str::from_utf8(rest) {
            Ok(text) => {
                push_escaped(text, output);
                return;
            }
            Err(error) => {
                let (valid, broken) = rest.split_at(error.valid_up_to());
                push_escaped(str::from_utf8(valid).unwrap_or_default(), output);
                // A byte that is no UTF-8 is most likely Latin-1.
                if let Some((byte, after)) = broken.split_first() {
                    push_escape(char::from(*byte), output);
                    rest = after;
                }
            }
        }
    }
}

/// Removes a host without a scheme, as some firmware writes it (`host/path`); the connection says
/// which host is meant.
fn without_host(target: &[u8]) -> &[u8] {
    let relative = target.starts_with(b"/") || target.starts_with(b"*");
    let absolute = target.windows(3).any(|window| window == b"://") && target.starts_with(b"http");
    if relative || absolute {
        return target;
    }

    target
        .iter()
        .position(|byte| *byte == b'/')
        .map_or(target, |slash| &target[slash..])
}

fn push_escaped(text: &str, output: &mut Vec<u8>) {
    for c in text.chars() {
        if c.is_ascii_control() || matches!(c, ' ' | '"' | '<' | '>' | '#') {
            push_escape(c, output);
        } else {
            output.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
}

fn push_escape(c: char, output: &mut Vec<u8>) {
    for byte in c.encode_utf8(&mut [0; 4]).bytes() {
        output.extend_from_slice(percent_encode_byte(byte).as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn through(input: &[u8], piece: usize) -> Vec<u8> {
        let mut repair = LineRepair::default();
        let mut output = Vec::new();
        for piece in input.chunks(piece) {
            repair.feed(piece, &mut output);
        }
        repair.finish(&mut output);

        output
    }

    fn repaired(line: &[u8]) -> String {
        let mut request = line.to_vec();
        request.extend_from_slice(b" HTTP/1.1\r\n\r\n");
        let output = through(&request, 7);

        String::from_utf8_lossy(&output)
            .trim_end()
            .trim_end_matches("\r\nConnection: close")
            .trim_end_matches(" HTTP/1.1")
            .to_owned()
    }

    #[test]
    fn forbidden_characters_of_a_target_become_escapes() {
        for (sent, repaired_line) in [
            (
                &b"GET /a?n=John Doe&r=+1555"[..],
                "GET /a?n=John%20Doe&r=+1555",
            ),
            (b"GET /a?n=\"Ann Lee\"", "GET /a?n=%22Ann%20Lee%22"),
            (b"GET /a?n=<x>", "GET /a?n=%3Cx%3E"),
            (b"GET /a?n=a\tb\x7fc", "GET /a?n=a%09b%7Fc"),
            (b"GET /a?n=M\xfcller", "GET /a?n=M%C3%BCller"),
            (b"GET /a?r=#31#0171&l=203", "GET /a?r=%2331%230171&l=203"),
            (b"GET 172.18.24.103/mac=1", "GET /mac=1"),
        ] {
            assert_eq!(repaired(sent), repaired_line);
        }
    }

    #[test]
    fn a_valid_target_is_unchanged() {
        for line in [
            "GET /a?r=%2B49&n=%zz&x=100%",
            "GET /a?n=O'Neil,\\|^{}[]`",
            "GET /a?n=王小明",
            "POST http://host/a?b",
            "OPTIONS *",
        ] {
            assert_eq!(repaired(line.as_bytes()), line);
        }
    }

    #[test]
    fn requests_on_one_connection_keep_their_bodies_and_their_boundaries() {
        let stream: &[u8] =
            b"POST /a?n=x y HTTP/1.1\r\nContent-Length: 21\r\n\r\nGET /not a line HTTP/1\
GET /b?n=\"q\" HTTP/1.1\r\nHost: h\r\n\r\n\
POST /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\na b c\r\n0\r\nX: y\r\n\r\n\
\r\nGET /d e HTTP/1.1\r\n\r\n";
        let expected: &[u8] =
            b"POST /a?n=x%20y HTTP/1.1\r\nConnection: close\r\nContent-Length: 21\r\n\r\nGET /not a line HTTP/1\
GET /b?n=%22q%22 HTTP/1.1\r\nConnection: close\r\nHost: h\r\n\r\n\
POST /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\na b c\r\n0\r\nX: y\r\n\r\n\
\r\nGET /d%20e HTTP/1.1\r\nConnection: close\r\n\r\n";

        for piece in [1, 2, 3, 64, 4096] {
            assert_eq!(
                String::from_utf8_lossy(&through(stream, piece)),
                String::from_utf8_lossy(expected),
                "in pieces of {piece}"
            );
        }
    }

    #[test]
    fn an_endless_line_is_passed_on_and_not_stored() {
        let long = [
            b"GET /".to_vec(),
            vec![b'a'; 3 * LINE_BYTES_MAX],
            b" HTTP/1.1\r\n\r\nGET /b c HTTP/1.1\r\n\r\n".to_vec(),
        ]
        .concat();
        let output = through(&long, 1000);

        assert!(output.ends_with(b"GET /b%20c HTTP/1.1\r\nConnection: close\r\n\r\n"));
        assert_eq!(output.len(), long.len() + 2 + CLOSE.len());
    }

    #[test]
    fn an_endless_line_has_no_body_of_the_request_before_it() {
        let long = [b"GET /".to_vec(), vec![b'a'; LINE_BYTES_MAX]].concat();
        let ends: [&[u8]; 2] = [b" HTTP/1.1\r\n\r\n", b"GET /b c HTTP/1.1\r\n\r\n"];
        let stream = [
            b"POST /a HTTP/1.1\r\nContent-Length: 5\r\n\r\nabcde",
            &long[..],
            ends[0],
            ends[1],
        ]
        .concat();

        for piece in [1000, stream.len()] {
            assert!(
                through(&stream, piece)
                    .ends_with(b"GET /b%20c HTTP/1.1\r\nConnection: close\r\n\r\n"),
                "in pieces of {piece}"
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_in_any_pieces_give_the_same_and_nothing_panics(
            input in proptest::collection::vec(proptest::num::u8::ANY, 0..600),
            piece in 1..50_usize,
        ) {
            proptest::prop_assert_eq!(through(&input, piece), through(&input, 4096));
        }

        #[test]
        fn a_parser_accepts_every_repaired_line(
            name in proptest::collection::vec(proptest::num::u8::ANY, 0..60),
        ) {
            let name: Vec<u8> = name.into_iter().filter(|byte| *byte != b'\n').collect();
            let line = [b"GET /a?n=".to_vec(), name].concat();
            let output = repaired(&line);
            let target = output.strip_prefix("GET ").unwrap_or_default();
            let is_allowed =
                |byte| byte > b' ' && !matches!(byte, b'"' | b'<' | b'>' | b'#' | 0x7f);

            proptest::prop_assert!(target.bytes().all(is_allowed), "{output}");
        }
    }
}
