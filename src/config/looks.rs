//! How the console and the summary look.

use super::{PATIENCE, Surroundings};
use crate::cli::{Args, BodyLines, TimeMode, TlsMode, When};
use crate::output::{Body, ConsoleOptions, Palette, Show, SummaryOptions, TimeStyle, TlsStyle, Unprintable};

pub(super) fn summary_options(args: &Args, here: &Surroundings) -> SummaryOptions {
    SummaryOptions {
        // In a file or a pipe nothing is cut: it may be searched.
        width: here.width.filter(|_| !args.wide),
        time: if args.time == TimeMode::Local {
            TimeStyle::Local
        } else {
            TimeStyle::Utc
        },
        palette: palette(args, here, here.stdout_terminal),
        unicode: here.utf8,
    }
}

/// Colours or none; `unasked` is what an output has where nobody says anything.
fn palette(args: &Args, here: &Surroundings, unasked: bool) -> Palette {
    let no_color = here.no_color.as_deref().is_some_and(|value| !value.is_empty());
    let colour = match args.color {
        _ if args.colour => true,
        Some(When::Always) => true,
        Some(When::Never) => false,
        Some(When::Auto) => here.stdout_terminal && !no_color,
        None => unasked && !no_color,
    };
    if colour {
        Palette::colours()
    } else {
        Palette::none()
    }
}

pub(super) fn console_options(args: &Args, here: &Surroundings, live: bool) -> ConsoleOptions {
    // Raw bytes are for programs.
    let palette = palette(args, here, !args.binary);
    let unprintable = if args.strip {
        Unprintable::Dot
    } else {
        Unprintable::Escape
    };
    ConsoleOptions {
        palette,
        time: match args.time {
            TimeMode::Utc => TimeStyle::Utc,
            TimeMode::Local => TimeStyle::Local,
            TimeMode::Relative => TimeStyle::Relative,
            TimeMode::Delta => TimeStyle::Delta,
            TimeMode::None => TimeStyle::None,
        },
        prefix: !args.console_bare,
        show: match (args.hex, args.binary) {
            (true, _) => Show::Hex,
            (_, true) => Show::Raw,
            _ => Show::Lines(unprintable),
        },
        tls: match args.tls {
            Some(TlsMode::Records) => TlsStyle::Records,
            Some(TlsMode::Raw) => TlsStyle::Raw,
            Some(TlsMode::Hide) => TlsStyle::Hide,
            None if args.hex || args.binary => TlsStyle::Raw,
            None => TlsStyle::Records,
        },
        body: match args.body {
            Some(BodyLines::Lines(lines)) => Body::Lines(lines),
            Some(BodyLines::All) => Body::All,
            Some(BodyLines::None) => Body::Lines(0),
            None if here.stdout_terminal => Body::Lines(20),
            None => Body::All,
        },
        secrets: args.show_secrets,
        unicode: here.utf8,
        verbose: args.verbose,
        live,
        patience: PATIENCE,
    }
}
