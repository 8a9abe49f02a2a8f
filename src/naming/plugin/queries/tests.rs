use super::*;

const MINUTE: Duration = Duration::from_secs(60);

fn id(text: &str) -> IsolationId {
    IsolationId::parse(text.as_bytes()).unwrap()
}

fn ticket(number: u64) -> Ticket {
    Ticket { asker: 1, number }
}

/// The queries, and a moment.
struct World {
    queries: Queries,
    now: Instant,
}

impl World {
    fn new() -> Self {
        Self {
            queries: Queries::default(),
            now: Instant::now(),
        }
    }

    fn ask(&mut self, number: u64, isolation: &str) -> bool {
        let name = format!("n{number}.test");
        let due = self.now + MINUTE;
        self.queries.ask(ticket(number), name, &id(isolation), due)
    }

    /// The names that are asked for next, and the numbers.
    fn lines(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.queries.next_line()).collect()
    }

    /// The number of a line.
    fn number(line: &str) -> u64 {
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    fn names(&mut self) -> Vec<String> {
        let lines = self.lines();
        let names = lines.iter().map(|line| line.split(' ').nth(2).unwrap());
        names.map(str::to_owned).collect()
    }

    fn pass(&mut self, time: Duration) -> Answers {
        self.now += time;
        self.queries.tick(self.now)
    }

    /// Nothing is left of any query.
    fn assert_empty(&self) {
        let queries = &self.queries;
        let counts = [
            queries.open.len(),
            queries.serials.len(),
            queries.asked.len(),
            queries.counts.len(),
            queries.turns.len(),
            queries.waiting.len(),
            queries.cancels.len(),
            queries.due.len(),
        ];
        assert_eq!(counts, [0; 8]);
    }
}

fn address() -> Answer {
    Answer::Address("192.0.2.1".parse().unwrap())
}

#[test]
fn a_query_is_asked_once_and_answered_once() {
    let mut world = World::new();
    assert!(world.ask(5, "a"));
    let lines = world.lines();
    assert!(lines[0].ends_with(" n5.test a\n"), "{lines:?}");
    let number = World::number(&lines[0]);
    for stranger in [0, number + 1, u64::MAX] {
        assert!(!world.queries.expects(stranger));
        let reply = Reply::Final(address());
        assert_eq!(world.queries.replied(stranger, reply, world.now), None);
    }
    let reply = || Reply::Final(address());
    let answer = world.queries.replied(number, reply(), world.now);
    assert_eq!(answer, Some((ticket(5), address())));
    assert_eq!(world.queries.replied(number, reply(), world.now), None);
    assert_eq!(world.lines(), [""; 0]);
    world.assert_empty();
}

#[test]
fn failures_that_pass_are_asked_again_with_growing_pauses_under_new_numbers() {
    let mut world = World::new();
    assert!(world.ask(1, "a"));
    let mut numbers = Vec::new();
    let mut pauses = Vec::new();
    let answers = loop {
        let before = world.now;
        let answers = loop {
            let next = world.queries.next_tick().unwrap();
            let line = world.queries.next_line();
            match line {
                Some(line) => {
                    assert!(!line.starts_with("CANCEL"));
                    break Ok(World::number(&line));
                }
                None => {
                    let answers = world.pass(next - world.now);
                    if !answers.is_empty() {
                        break Err(answers);
                    }
                }
            }
        };
        pauses.push(world.now - before);
        match answers {
            Err(answers) => break answers,
            Ok(number) => {
                assert!(!numbers.contains(&number));
                numbers.push(number);
                let reply = Reply::Again("busy".to_owned());
                assert_eq!(world.queries.replied(number, reply, world.now), None);
                // An old answer means nothing.
                let late = Reply::Final(address());
                assert_eq!(world.queries.replied(number, late, world.now), None);
            }
        }
    };
    let expected = [0, 250, 500, 1000, 2000, 4000, 4000].map(Duration::from_millis);
    assert_eq!(pauses[..7], expected);
    let end = pauses.iter().sum::<Duration>();
    assert_eq!(end, MINUTE);
    assert_eq!(answers, [(ticket(1), Answer::NotNow("busy".to_owned()))]);
    world.assert_empty();
}

#[test]
fn what_is_not_answered_in_time_is_withdrawn() {
    let mut world = World::new();
    assert!(world.ask(1, "a"));
    let number = World::number(&world.lines()[0]);
    assert!(world.pass(MINUTE - Duration::from_millis(1)).is_empty());
    let answers = world.pass(Duration::from_millis(1));
    let why = "the naming plugin did not answer in time";
    assert_eq!(answers, [(ticket(1), Answer::NotNow(why.to_owned()))]);
    assert_eq!(world.lines(), [format!("CANCEL {number}\n")]);
    world.assert_empty();
    // Nor is it asked if there is nobody to ask.
    assert!(world.ask(2, "a"));
    let answers = world.pass(MINUTE);
    let why = "the naming plugin was not ready in time";
    assert_eq!(answers, [(ticket(2), Answer::NotNow(why.to_owned()))]);
    assert_eq!(world.lines(), [""; 0]);
    world.assert_empty();
}

#[test]
fn cancelled_queries_leave_nothing_behind() {
    let mut world = World::new();
    for number in 1..=3 {
        assert!(world.ask(number, "a"));
    }
    let first = world.queries.next_line().unwrap();
    let second = world.queries.next_line().unwrap();
    let again = Reply::Again("busy".to_owned());
    let _ = world
        .queries
        .replied(World::number(&second), again, world.now);
    // One is asked, one pauses, one waits, one is unknown.
    for number in 1..=4 {
        world.queries.cancel(ticket(number));
    }
    let cancel = format!("CANCEL {}\n", World::number(&first));
    assert_eq!(world.lines(), [cancel]);
    assert!(world.pass(2 * MINUTE).is_empty());
    world.assert_empty();
}

#[test]
fn an_asker_takes_only_its_own_queries_along() {
    let mut world = World::new();
    let other = Ticket {
        asker: 2,
        number: 1,
    };
    assert!(world.ask(1, "a"));
    let due = world.now + MINUTE;
    assert!(world.queries.ask(other, "x.test".to_owned(), &id("a"), due));
    world.queries.cancel_all(1);
    assert_eq!(world.names(), ["x.test"]);
}

#[test]
fn isolation_ids_take_turns() {
    let mut world = World::new();
    for number in 0..3 {
        assert!(world.ask(number, "greedy"));
    }
    assert!(world.ask(3, "modest"));
    assert!(world.ask(4, "late"));
    assert_eq!(
        world.names(),
        ["n0.test", "n3.test", "n4.test", "n1.test", "n2.test"]
    );
}

#[test]
fn the_next_plugin_is_asked_what_the_last_one_left_open() {
    let mut world = World::new();
    for number in 0..4 {
        assert!(world.ask(number, "a"));
    }
    let lines = world.lines();
    let reply = Reply::Final(address());
    let _ = world
        .queries
        .replied(World::number(&lines[0]), reply, world.now);
    world.queries.cancel(ticket(1));
    world.queries.restart();
    let again = world.lines();
    let names: Vec<_> = again.iter().map(|line| line.split(' ').nth(2)).collect();
    assert_eq!(names, [Some("n2.test"), Some("n3.test")]);
    // What the last one says of them means nothing.
    let reply = Reply::Final(address());
    let late = world
        .queries
        .replied(World::number(&lines[2]), reply, world.now);
    assert_eq!(late, None);
}

#[test]
fn there_are_no_more_queries_than_permitted() {
    let mut world = World::new();
    let mut number = 0;
    let mut ask = |world: &mut World, isolation: &str| {
        number += 1;
        world.ask(number, isolation)
    };
    for isolation in 0..MAX_QUERIES / MAX_QUERIES_PER_ISOLATION {
        let isolation = format!("id{isolation}");
        for _ in 0..MAX_QUERIES_PER_ISOLATION {
            assert!(ask(&mut world, &isolation));
        }
        assert!(!ask(&mut world, &isolation));
    }
    assert!(!ask(&mut world, "another"));
    world.queries.cancel(ticket(1));
    assert!(ask(&mut world, "another"));
    let why = "why";
    assert_eq!(world.queries.give_up(why).len(), MAX_QUERIES);
    world.assert_empty();
}
