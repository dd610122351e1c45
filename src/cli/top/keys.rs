//! Keys of the person, read by a thread: reading a terminal blocks.

use std::thread;

use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use tokio::sync::mpsc;

/// The meaning of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// Scrolls by lines, downwards if positive.
    Scroll(isize),
    /// Scrolls by pages.
    Page(isize),
    First,
    /// The size of the terminal has changed.
    Redraw,
    End,
}

/// Keys from now on, until the terminal cannot be read.
pub(super) fn read_keys() -> mpsc::Receiver<Key> {
    let (sender, keys) = mpsc::channel(16);

    thread::spawn(move || {
        while let Ok(event) = event::read() {
            if let Some(key) = meaning(&event)
                && sender.blocking_send(key).is_err()
            {
                return;
            }
        }
    });
    keys
}

fn meaning(event: &Event) -> Option<Key> {
    let KeyEvent {
        code, modifiers, ..
    } = match event {
        Event::Resize(..) => return Some(Key::Redraw),
        Event::Key(key) if key.kind == KeyEventKind::Press => key,
        _ => return None,
    };

    match code {
        // The terminal is in raw mode: it sends no signal.
        KeyCode::Char('c') if modifiers.contains(KeyModifiers::CONTROL) => Some(Key::End),
        KeyCode::Char('q') | KeyCode::Esc => Some(Key::End),
        KeyCode::Down | KeyCode::Char('j') => Some(Key::Scroll(1)),
        KeyCode::Up | KeyCode::Char('k') => Some(Key::Scroll(-1)),
        KeyCode::PageDown | KeyCode::Char(' ') => Some(Key::Page(1)),
        KeyCode::PageUp => Some(Key::Page(-1)),
        KeyCode::Home => Some(Key::First),
        _ => None,
    }
}
