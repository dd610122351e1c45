//! The view as it is drawn: three lines of figures, the calls, and the keys.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Cell, Paragraph, Row, Table};
use tokio::time::Instant;

use super::board::{Board, Counted, LiveCall, Stage};
use crate::cli::api::{length, moment};
use crate::domain::time::At;
use crate::wire::instant;

const HEAD: [&str; 5] = ["STATE", "LENGTH", "CALLER", "CALLED", "PHONES"];
const WIDTHS: [Constraint; 5] = [
    Constraint::Length(8),
    Constraint::Length(7),
    Constraint::Fill(3),
    Constraint::Fill(3),
    Constraint::Fill(2),
];

pub(super) fn draw(frame: &mut Frame<'_>, board: &mut Board, now: Instant) {
    let [head, figures, calls, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(3),
        Constraint::Fill(1),
        Constraint::Length(1),
    ])
    .areas(frame.area());

    draw_head(frame, board, head, now);
    frame.render_widget(Paragraph::new(figure_lines(board, now)), figures);
    draw_calls(frame, board, calls, now);
    draw_foot(frame, board, foot);
}

fn draw_head(frame: &mut Frame<'_>, board: &Board, area: Rect, now: Instant) {
    let state = match &board.lost {
        None => Span::styled("live", Color::Green),
        Some(reason) => Span::styled(format!("away: {reason}"), Color::Red),
    };
    let time = board.time(now).map_or_else(String::new, |time| {
        format!("{} UTC", moment(&instant::text(time)))
    });
    let [left, right] =
        Layout::horizontal([Constraint::Fill(1), Constraint::Length(23)]).areas(area);

    let title = Line::from(vec![
        Span::styled("Cordboard ", Modifier::BOLD),
        Span::raw(format!("{}  ", board.address)),
        state,
    ]);
    frame.render_widget(Paragraph::new(title), left);
    frame.render_widget(Paragraph::new(time).right_aligned(), right);
}

fn figure_lines(board: &mut Board, now: Instant) -> Vec<Line<'static>> {
    let stages = [
        (Stage::Ringing, "ringing", Color::Yellow),
        (Stage::Talking, "talking", Color::Green),
        (Stage::OnHold, "on hold", Color::Cyan),
    ];
    let mut calls = vec![Span::raw("Calls        ")];
    for (stage, name, color) in stages {
        let text = format!("{} {name}   ", board.in_stage(stage));
        calls.push(Span::styled(text, color));
    }
    if let Some(desk) = &board.desk {
        let more = if desk.is_cut { " or more" } else { "" };
        calls.push(Span::raw(format!("{}{more} to call back", desk.waiting)));
        if desk.overdue > 0 {
            calls.push(Span::styled(
                format!(" ({} late)", desk.overdue),
                Color::Red,
            ));
        }
    }

    let minute = format!(
        "Last minute  {} began   {} answered   {} missed",
        board.last_minute(Counted::Started, now),
        board.last_minute(Counted::Answered, now),
        board.last_minute(Counted::Missed, now),
    );
    let figure = |value: Option<f64>, unit: &str| {
        value.map_or_else(|| "-".to_owned(), |value| format!("{value:.1}{unit}"))
    };
    let count =
        |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.0}"));
    let process = format!(
        "Events       {} accepted   lag {}   journal {}   dead letters {}",
        figure(board.accepted_rate, "/s"),
        figure(board.metrics.lag_seconds, " s"),
        count(board.metrics.journal_depth),
        count(board.metrics.dead_letters),
    );

    vec![Line::from(calls), Line::from(minute), Line::from(process)]
}

fn draw_calls(frame: &mut Frame<'_>, board: &mut Board, area: Rect, now: Instant) {
    let time = board.time(now);
    // The head of the table is a line of it.
    let fit = usize::from(area.height.saturating_sub(1));
    let rows: Vec<Row<'_>> = board
        .shown(fit)
        .into_iter()
        .map(|call| row(call, time))
        .collect();

    let head = Row::new(HEAD).style(Style::new().add_modifier(Modifier::REVERSED));
    frame.render_widget(Table::new(rows, WIDTHS).header(head), area);
}

fn row(call: &LiveCall, time: Option<At>) -> Row<'static> {
    let (name, color) = match call.stage {
        Stage::Ringing => ("ringing", Color::Yellow),
        Stage::Talking => ("talking", Color::Green),
        Stage::OnHold => ("on hold", Color::Cyan),
    };
    let lasting = time.map_or_else(String::new, |time| {
        length(instant::seconds(time) - instant::seconds(call.since))
    });

    Row::new([
        Cell::from(Span::styled(name, color)),
        Cell::from(lasting),
        Cell::from(call.caller.clone()),
        Cell::from(call.called.clone()),
        Cell::from(call.phones.clone()),
    ])
}

fn draw_foot(frame: &mut Frame<'_>, board: &Board, area: Rect) {
    let count = board.count();
    let shown = if count == 0 {
        "no calls".to_owned()
    } else {
        let last = (board.top + board.fit).min(count);
        format!("calls {} to {last} of {count}", board.top + 1)
    };
    let text = format!("q ends   arrows and page keys scroll   {shown}");

    let foot = Paragraph::new(text).style(Style::new().add_modifier(Modifier::DIM));
    frame.render_widget(foot, area);
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use serde_json::{Value, json};

    use super::*;
    use crate::cli::top::keys::Key;
    use crate::cli::top::sources::{Desk, Metrics, News};

    fn call(id: u32, answered_by: Option<&str>) -> Value {
        json!({
            "id": id.to_string(),
            "site": "default",
            "status": if answered_by.is_some() { "answered" } else { "ringing" },
            "started_at": format!("2026-01-01T09:{id:02}:00.000000Z"),
            "answered_at": answered_by.map(|_| format!("2026-01-01T09:{id:02}:05.000000Z")),
            "ended_at": null,
            "from": { "number": "03023125418", "name": format!("Caller {id}\u{1b}[31m") },
            "to": { "number": "201", "name": null },
            "requested": { "number": null },
            "answered_by": { "extension": answered_by },
            "participants": [
                { "extension": "201", "outcome": "ringing" },
                { "extension": "202", "outcome": "ringing" },
            ],
        })
    }

    fn screen(board: &mut Board, now: Instant) -> String {
        let mut terminal = Terminal::new(TestBackend::new(90, 9)).unwrap();
        terminal.draw(|frame| draw(frame, board, now)).unwrap();

        terminal.backend().to_string()
    }

    #[test]
    fn live_calls_and_figures_are_shown() {
        let now = Instant::now();
        let mut board = Board::new("http://127.0.0.1:8088");
        let calls = json!([call(1, Some("201")), call(2, None), call(3, None)]);
        board.take(News::Reading, now);
        board.take(News::Calls(calls), now);
        board.take(
            News::Desk(Desk {
                read_at: instant::parse("2026-01-01T09:10:00Z").unwrap(),
                waiting: 3,
                overdue: 1,
                is_cut: false,
            }),
            now,
        );
        let metrics = |accepted| Metrics {
            accepted: Some(accepted),
            lag_seconds: Some(0.25),
            journal_depth: Some(4.0),
            dead_letters: None,
        };
        board.take(News::Metrics(metrics(10.0)), now);
        let now = now + std::time::Duration::from_secs(2);
        board.take(News::Metrics(metrics(13.0)), now);
        let started = json!({ "call_id": "4", "call": call(4, None) });
        let event = |name: &str, data: Value| News::Event {
            name: name.to_owned(),
            data,
        };
        board.take(event("call.started", started), now);

        let first = screen(&mut board, now);
        insta::assert_snapshot!(first, @r#"
        "Cordboard http://127.0.0.1:8088  live                              2026-01-01 09:10:02 UTC"
        "Calls        3 ringing   1 talking   0 on hold   3 to call back (1 late)                  "
        "Last minute  1 began   0 answered   0 missed                                              "
        "Events       1.5/s accepted   lag 0.2 s   journal 4   dead letters -                      "
        "STATE    LENGTH  CALLER                      CALLED                     PHONES            "
        "ringing  8:02    Caller 2[31m (03023125418)  201                        201 202           "
        "ringing  7:02    Caller 3[31m (03023125418)  201                        201 202           "
        "ringing  6:02    Caller 4[31m (03023125418)  201                        201 202           "
        "q ends   arrows and page keys scroll   calls 1 to 3 of 4                                  "
        "#);
        assert!(board.act(Key::Page(1)));
        insta::assert_snapshot!(screen(&mut board, now), @r#"
        "Cordboard http://127.0.0.1:8088  live                              2026-01-01 09:10:02 UTC"
        "Calls        3 ringing   1 talking   0 on hold   3 to call back (1 late)                  "
        "Last minute  1 began   0 answered   0 missed                                              "
        "Events       1.5/s accepted   lag 0.2 s   journal 4   dead letters -                      "
        "STATE    LENGTH  CALLER                      CALLED                     PHONES            "
        "ringing  7:02    Caller 3[31m (03023125418)  201                        201 202           "
        "ringing  6:02    Caller 4[31m (03023125418)  201                        201 202           "
        "talking  8:57    Caller 1[31m (03023125418)  201                        201               "
        "q ends   arrows and page keys scroll   calls 2 to 4 of 4                                  "
        "#);

        // A change that comes while all calls are read is newer than the reading.
        board.take(News::Reading, now);
        let withdrawn = json!({ "call_id": "2", "site": "default", "call": null });
        board.take(event("call.withdrawn", withdrawn), now);
        board.take(News::Calls(json!([call(1, None), call(2, None)])), now);
        assert_eq!(board.count(), 1);
        board.take(News::Lost("the stream ended".to_owned()), now);
        assert!(screen(&mut board, now).contains("away: the stream ended"));
        assert!(!board.act(Key::End));
    }
}
