//! What the screen shows, as text, at several sizes and after several keys.

use std::time::{Duration, Instant};

use farcall::Digest;
use farcall::executor::{ModuleInfo, Statistics};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::style::{Color, Modifier};

use super::app::App;
use super::ask::{Answer, Report};
use super::keys::Action;
use super::text::columns;

const SECOND: Duration = Duration::from_secs(1);

/// Three executors: one with calls and modules, one that is gone and one that has not answered yet.
struct Screen {
    app: App,
    now: Instant,
    terminal: Terminal<TestBackend>,
}

impl Screen {
    fn new(width: u16, height: u16) -> Self {
        let start = Instant::now();
        let addresses = [
            "unix:/run/farcall/one.sock",
            "tcp:10.0.0.2:7000",
            "tls:例え.jp:7000",
        ];
        let mut screen = Self {
            app: App::new(addresses.into_iter(), SECOND, false, start),
            now: start,
            terminal: Terminal::new(TestBackend::new(width, height)).unwrap(),
        };
        let software = "farcall 0.1.0, x86_64".to_owned();
        screen.answer(0, Answer::Connected { software });
        let error = "tcp:10.0.0.2:7000: cannot connect: Connection refused (os error 111)";
        screen.answer(1, Answer::Failed(error.to_owned()));
        for second in 0..4 {
            screen.answer(0, Answer::Counted(Box::new(statistics(second))));
            screen.answer(0, Answer::Listed(modules_of(second)));
            screen.now += SECOND;
        }
        screen
    }

    fn answer(&mut self, executor: usize, what: Answer) {
        let at = self.now;
        self.app.take(Report { executor, at, what });
    }

    fn press(&mut self, keys: impl IntoIterator<Item = KeyCode>) -> Option<Action> {
        let now = self.now;
        let press = |key: KeyCode| self.app.key(key.into(), now);
        keys.into_iter().map(press).last().flatten()
    }

    fn lines(&mut self) -> Vec<String> {
        let (app, now) = (&mut self.app, self.now);
        let frame = self.terminal.draw(|frame| app.draw(frame, now)).unwrap();
        let line = |y| {
            let mut line = String::new();
            let mut x = 0;
            while x < frame.area.width {
                let symbol = frame.buffer[(x, y)].symbol();
                line += symbol;
                // The other half of a wide character is no character.
                x += u16::try_from(columns(symbol)).unwrap().max(1);
            }
            line.trim_end().to_owned()
        };
        (0..frame.area.height).map(line).collect()
    }

    #[track_caller]
    fn assert_shows(&mut self, expected: &str) {
        let shown = self.lines().join("\n");
        let expected = expected.trim_matches('\n');
        assert_eq!(shown, expected, "\n{shown}\n");
    }
}

fn statistics(second: u64) -> Statistics {
    let mut statistics = Statistics {
        uptime: 11_100_000 + 1000 * second,
        connections: 17,
        connected: 3,
        modules: 4,
        image_bytes: 4_400_000,
        calls: 2_000_000 + 6000 * second * second,
        running: 4,
        failures: 30 + second,
        received: 250_000 * second,
        sent: 1_000 * second,
        crashes: 5 + second / 3,
        refused: 1,
        workers: 8,
        workers_started: 13,
        ..Statistics::default()
    };
    statistics.calling.buckets[3] = 990 * second;
    statistics.calling.buckets[12] = 11 * second;
    statistics
}

fn modules_of(second: u64) -> Vec<ModuleInfo> {
    let module = |number: u8, names: &[&str], calls| ModuleInfo {
        digest: Digest::from_bytes([number; 32]),
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        size: 1_100_000 / u64::from(number),
        n_exports: number.into(),
        calls,
        crashes: 0,
        late: 0,
        is_quarantined: false,
        signer: Some("5a1c9d9dbe21a0c4".to_owned()),
    };
    vec![
        module(1, &["score"], 10 * second),
        ModuleInfo {
            crashes: 5,
            late: 2,
            is_quarantined: true,
            signer: None,
            ..module(2, &["aggregate", "sum"], 90)
        },
        module(3, &[], 2_000_000 + 4000 * second),
        module(4, &["\x1b]0;title\x07模块"], 0),
    ]
}

#[test]
fn eighty_columns() {
    Screen::new(80, 24).assert_shows(
        r"
farcall top   1 of 3 up  30000 calls/s      4 running      6 crashes
  EXECUTOR              STATE  UPTIME CALLS/S   RUN    P50≤    P99≤ FAIL/S CRASH
> unix:/…rcall/one.sock up      3h05m   30000     4     8µs  4.10ms    1.0     6
  tcp:10.0.0.2:7000     down   for 4s: cannot connect: Connection refused (os e…
  tls:例え.jp:7000      wait   connecting for 4s
── unix:/run/farcall/one.sock ── farcall 0.1.0, x86_64 ── up 3h05m ─────────────
 calls/s                                                          ▂▅█ most 30000
 connected        3  modules          4  calls        2.05M  crashes          6
 connections     17  images       4.20M  failures        33  late             0
 not served       0  loads/s          0  load fails       0  quarantined      0
 received/s    244K  hits/s           0  workers          8  refused          1
 sent/s       0.98K  load p99≤        -  started         13  restarts         0
  MODULE                CALLS/S  CALLS CRASH STATE         SIZE EXPORTS KEY
> score                    10.0     30     0 ok           1.05M       1 5a1c9d9d
  aggregate, sum              0     90     5 quarantined   537K       2 -
  030303030303             4000  2.01M     0 ok            358K       3 5a1c9d9d
  \u{1b}…title\u{7}模块       0      0     0 ok            269K       4 5a1c9d9d






 q quit  ↑↓ choose  tab other table  ←→ sort by  r reverse  / filter  p pardon
",
    );
}

#[test]
fn more_columns_have_more_of_the_table() {
    Screen::new(172, 14).assert_shows(
        r"
farcall top   1 of 3 up  30000 calls/s      4 running      6 crashes      1 refusals
  EXECUTOR                   STATE  UPTIME CALLS/S   RUN    P50≤    P99≤ FAIL/S CRASH LATE REFUSE  MODS IMAGES CONNS  WORK LOAD/S HISTORY
> unix:/run/farcall/one.sock up      3h05m   30000     4     8µs  4.10ms    1.0     6    0      1     4  4.20M     3     8      0                                        ▂▅█
  tcp:10.0.0.2:7000          down   for 4s: cannot connect: Connection refused (os error 111)
  tls:例え.jp:7000           wait   connecting for 4s
── unix:/run/farcall/one.sock ── farcall 0.1.0, x86_64 ── up 3h05m ─────────────────────────────────────────────────────────────────────────────────────────────────────────
 calls/s                                                                                                                                                      ▂▅█ most 30000
  MODULE                  CALLS/S  CALLS CRASH LATE STATE         SIZE EXPORTS KEY              DIGEST
> score                      10.0     30     0    0 ok           1.05M       1 5a1c9d9dbe21a0c4 0101010101010101010101010101010101010101010101010101010101010101
  aggregate, sum                0     90     5    2 quarantined   537K       2 -                0202020202020202020202020202020202020202020202020202020202020202
  030303030303               4000  2.01M     0    0 ok            358K       3 5a1c9d9dbe21a0c4 0303030303030303030303030303030303030303030303030303030303030303
  \u{1b}]0;title\u{7}模块       0      0     0    0 ok            269K       4 5a1c9d9dbe21a0c4 0404040404040404040404040404040404040404040404040404040404040404

 q quit  ↑↓ choose  tab other table  ←→ sort by  r reverse  / filter  p pardon
",
    );
}

#[test]
fn few_lines_are_for_the_tables() {
    Screen::new(60, 10).assert_shows(
        r"
farcall top   1 of 3 up  30000 calls/s      4 running
  EXECUTOR             STATE  UPTIME CALLS/S    P50≤    P99≤
> unix:/…call/one.sock up      3h05m   30000     8µs  4.10ms
  tcp:10.0.0.2:7000    down   for 4s: cannot connect: Conne…
── unix:/run/farcall/one.sock ── farcall 0.1.0, x86_64 ── u…
  MODULE                  CALLS/S  CALLS CRASH STATE
> score                      10.0     30     0 ok
  aggregate, sum                0     90     5 quarantined
  030303030303               4000  2.01M     0 ok
 q quit  ↑↓ choose  tab other table  ←→ sort by  r reverse
",
    );
}

#[test]
fn any_size_is_drawn() {
    for (width, height) in (0..50).flat_map(|width| (0..20).map(move |height| (width, height))) {
        let mut screen = Screen::new(width, height);
        screen.press([KeyCode::End, KeyCode::Tab, KeyCode::End]);
        let lines = screen.lines();
        assert_eq!(lines.len(), usize::from(height));
        if height > 0 && width >= 7 {
            assert!(lines.last().unwrap().contains("q quit"), "{lines:?}");
        }
    }
}

#[test]
fn an_executor_without_an_answer_has_its_reason_where_others_have_numbers() {
    let mut screen = Screen::new(80, 24);
    screen.press([KeyCode::Down]);
    let lines = screen.lines();
    assert_eq!(
        &lines[2..8],
        [
            "  unix:/…rcall/one.sock up      3h05m   30000     4     8µs  4.10ms    1.0     6",
            "> tcp:10.0.0.2:7000     down   for 4s: cannot connect: Connection refused (os e…",
            "  tls:例え.jp:7000      wait   connecting for 4s",
            "── tcp:10.0.0.2:7000 ───────────────────────────────────────────────────────────",
            " calls/s                                                              most     0",
            " for 4s: cannot connect: Connection refused (os error 111)",
        ]
    );
    assert_eq!(lines[13], "  no modules");
    // The first one does not answer any more.
    screen.now += 60 * SECOND;
    screen.press([KeyCode::Up]);
    let lines = screen.lines();
    assert_eq!(
        lines[0],
        "farcall top   0 of 3 up      0 calls/s      0 running      0 crashes"
    );
    assert_eq!(
        lines[2],
        "> unix:/…rcall/one.sock silent no answer for 1m01s"
    );
    // It was started anew.
    let fresh = Statistics {
        uptime: 2000,
        calls: 10,
        ..Statistics::default()
    };
    screen.answer(0, Answer::Counted(Box::new(fresh)));
    let lines = screen.lines();
    assert_eq!(
        lines[2],
        "> unix:/…rcall/one.sock up         2s     5.0     0       -       -      0     0"
    );
    assert!(lines[11].ends_with("restarts         1"), "{}", lines[11]);
}

#[test]
fn what_a_peer_says_is_no_command_to_the_terminal() {
    let mut screen = Screen::new(172, 24);
    let software = "\x1b[2J\u{202e}farcall".to_owned();
    screen.answer(0, Answer::Connected { software });
    let error = "\x1b]52;c;aaaa\x07\r\n".to_owned();
    screen.answer(1, Answer::Failed(error.clone()));
    let digest = Digest::from_bytes([4; 32]);
    screen.answer(0, Answer::Pardoned(digest, Err(error)));
    screen.press([KeyCode::Char('/'), KeyCode::Char('\u{9b}'), KeyCode::Enter]);
    let lines = screen.lines();
    let shown = lines.concat();
    let is_bad = |c: char| c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c);
    assert_eq!(shown.chars().find(|c| is_bad(*c)), None);
    assert_eq!(
        lines[3].split("for 4s: ").nth(1),
        Some("\\u{1b}]52;c;aaaa\\u{7}\\r\\n")
    );
    assert!(
        lines[5].contains("── \\u{1b}[2J\\u{202e}farcall ──"),
        "{}",
        lines[5]
    );
    assert!(lines[5].contains("filter: \\u{9b}"), "{}", lines[5]);
    let said = " \\u{1b}]0;title\\u{7}模块 is not pardoned: \\u{1b}]52;c;aaaa\\u{7}\\r\\n";
    assert_eq!(lines.last().unwrap(), said);
}

#[test]
fn modules_are_sorted_filtered_and_chosen() {
    let mut screen = Screen::new(80, 24);
    let modules = |screen: &mut Screen| {
        let lines = screen.lines();
        let names = lines[13..18].iter().filter(|line| !line.is_empty());
        names
            .map(|line| line[..12].trim_end().to_owned())
            .collect::<Vec<_>>()
    };
    let before = ["> score", "  aggregate,", "  0303030303", "  \\u{1b}…t"];
    assert_eq!(modules(&mut screen), before);
    // By name, then by calls a second, then the other way round.
    screen.press([KeyCode::Tab, KeyCode::Right]);
    assert!(screen.lines()[12].starts_with("  MODULE▲ "));
    assert_eq!(
        modules(&mut screen),
        ["> 0303030303", "  \\u{1b}…t", "  aggregate,", "  score"]
    );
    screen.press([KeyCode::Right]);
    assert!(screen.lines()[12].contains("▼CALLS/S"));
    assert_eq!(modules(&mut screen)[..2], ["> 0303030303", "  score"]);
    screen.press([KeyCode::Char('r')]);
    assert!(screen.lines()[12].contains("▲CALLS/S"));
    assert_eq!(modules(&mut screen)[2..], ["  score", "  0303030303"]);
    // The chosen one stays chosen when others come and go.
    screen.press([KeyCode::End]);
    screen.answer(0, Answer::Listed(modules_of(4)[1..].to_vec()));
    assert_eq!(modules(&mut screen)[2], "> 0303030303");
    screen.press([
        KeyCode::Char('/'),
        KeyCode::Char('S'),
        KeyCode::Char('u'),
        KeyCode::Enter,
    ]);
    assert!(screen.lines()[5].contains(" filter: Su "));
    assert_eq!(modules(&mut screen), ["> aggregate,"]);
    screen.press([KeyCode::Char('/'), KeyCode::Char('x'), KeyCode::Enter]);
    assert_eq!(modules(&mut screen)[0].trim(), "no module");
    screen.press([KeyCode::Esc, KeyCode::Left, KeyCode::Left]);
    assert_eq!(
        modules(&mut screen),
        ["  aggregate,", "> 0303030303", "  \\u{1b}…t"]
    );
}

#[test]
fn of_many_rows_those_around_the_chosen_one_are_seen() {
    let mut screen = Screen::new(80, 24);
    let many = |number: u8| ModuleInfo {
        names: vec![format!("module {number:03}")],
        digest: Digest::from_bytes([number; 32]),
        ..modules_of(0).remove(0)
    };
    screen.answer(0, Answer::Listed((0..200).map(many).collect()));
    let seen = |screen: &mut Screen| {
        let lines = screen.lines();
        let number = |line: &String| line[..12].to_owned();
        (number(&lines[13]), number(&lines[22]))
    };
    let both = |first: &str, last: &str| (first.to_owned(), last.to_owned());
    assert_eq!(seen(&mut screen), both("> module 000", "  module 009"));
    screen.press([KeyCode::Tab, KeyCode::PageDown]);
    assert_eq!(seen(&mut screen), both("  module 001", "> module 010"));
    screen.press([KeyCode::Up]);
    assert_eq!(seen(&mut screen), both("  module 001", "  module 010"));
    screen.press([KeyCode::End]);
    assert_eq!(seen(&mut screen), both("  module 190", "> module 199"));
    screen.press([KeyCode::Home]);
    assert_eq!(seen(&mut screen), both("> module 000", "  module 009"));
}

#[test]
fn an_image_is_pardoned_when_that_is_confirmed() {
    let mut screen = Screen::new(80, 24);
    let last = |screen: &mut Screen| screen.lines().pop().unwrap();
    let pardon = KeyCode::Char('p');
    assert_eq!(screen.press([KeyCode::Tab, pardon]), None);
    assert_eq!(
        last(&mut screen),
        " the module that is chosen has ended no worker"
    );
    assert_eq!(screen.press([KeyCode::Down, pardon]), None);
    assert_eq!(
        last(&mut screen),
        " Forget the crashes of aggregate, sum?  y yes  n no"
    );
    assert_eq!(screen.press([KeyCode::Char('n')]), None);
    let digest = Digest::from_bytes([2; 32]);
    let action = screen.press([pardon, KeyCode::Char('y')]);
    assert_eq!(
        action,
        Some(Action::Pardon {
            executor: 0,
            digest
        })
    );
    screen.answer(0, Answer::Pardoned(digest, Ok(())));
    assert_eq!(last(&mut screen), " aggregate, sum is pardoned");
    screen.now += 10 * SECOND;
    assert!(
        last(&mut screen).starts_with(" q quit"),
        "it is not said for ever"
    );
}

#[test]
fn keys_that_end_or_stop() {
    let mut screen = Screen::new(80, 24);
    let control = |c| KeyEvent::new(KeyCode::Char(c), KeyModifiers::CONTROL);
    assert_eq!(screen.press([KeyCode::Char('q')]), Some(Action::Quit));
    // What is typed into a filter is no command, but for those.
    assert_eq!(screen.press([KeyCode::Char('/'), KeyCode::Char('q')]), None);
    let now = screen.now;
    assert_eq!(screen.app.key(control('c'), now), Some(Action::Quit));
    assert_eq!(screen.app.key(control('z'), now), Some(Action::Suspend));
}

#[test]
fn without_colours_what_is_bad_is_bold() {
    let mut screen = Screen::new(80, 24);
    screen.lines();
    let down = |screen: &Screen| screen.terminal.backend().buffer()[(24, 3)].clone();
    assert_eq!(down(&screen).symbol(), "d");
    let cells = screen.terminal.backend().buffer().content().iter();
    assert_eq!(
        cells
            .filter(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset)
            .count(),
        0
    );
    assert!(down(&screen).modifier.contains(Modifier::BOLD));
    let chosen = &screen.terminal.backend().buffer()[(2, 2)];
    assert!(chosen.modifier.contains(Modifier::REVERSED));
    screen.app.is_coloured = true;
    screen.lines();
    assert_eq!(down(&screen).fg, Color::Red);
}
