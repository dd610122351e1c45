//! `cordboard top`: the live calls and the figures of a running service, in a terminal.

mod board;
mod keys;
mod screen;
mod sources;

use std::io::{IsTerminal, stdout};
use std::time::Duration;

use ratatui::DefaultTerminal;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::api::ApiArguments;
use super::failure::Failure;
use super::runtime::block_on;
use board::Board;
use keys::read_keys;
use sources::Sources;

/// The lengths of calls count seconds.
const DRAW_EVERY: Duration = Duration::from_secs(1);
/// Changes within this time are drawn together.
const DRAW_PAUSE: Duration = Duration::from_millis(50);

/// Watch the live calls of a running service, with its rates and lags
///
/// Arrows and page keys scroll; `q` ends it.
#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    api: ApiArguments,

    /// Base of the operations listener for rates and lags; that of the settings without it
    #[arg(long, value_name = "URL")]
    operations: Option<String>,

    /// Only calls of this site
    #[arg(long)]
    site: Option<String>,
}

pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    if !stdout().is_terminal() {
        return Err(Failure::Usage(
            "`top` needs a terminal; `cordboard calls --live` prints the list".to_owned(),
        ));
    }
    let sources = Sources {
        api: arguments.api.open()?,
        operations: arguments.api.open_operations(arguments.operations)?,
        site: arguments.site,
    };

    block_on(async {
        // The reason of a failure is readable only before the screen is taken.
        sources.read_calls().await?;
        let mut terminal = ratatui::try_init()?;
        let watched = watch(&mut terminal, sources).await;
        ratatui::try_restore()?;

        watched
    })
}

/// Draws until the person ends it.
async fn watch(terminal: &mut DefaultTerminal, sources: Sources) -> Result<(), Failure> {
    let mut board = Board::new(sources.api.base());
    let mut news = sources.follow();
    let mut keys = read_keys();
    let mut draws = interval(DRAW_EVERY);
    draws.set_missed_tick_behavior(MissedTickBehavior::Delay);

    loop {
        terminal.draw(|frame| screen::draw(frame, &mut board, Instant::now()))?;
        tokio::select! {
            _ = draws.tick() => {}
            key = keys.recv() => match key {
                Some(key) if board.act(key) => {}
                _ => return Ok(()),
            },
            Some(first) = news.recv() => {
                board.take(first, Instant::now());
                sleep(DRAW_PAUSE).await;
                while let Ok(next) = news.try_recv() {
                    board.take(next, Instant::now());
                }
            }
        }
    }
}
