//! Runs tasks in an order that a seed decides, on a clock that only the store has.

use std::{
    pin::Pin,
    task::{Context, Poll, Waker},
};

use crate::world::Adversary;

pub(crate) type Task<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// Runs all tasks to their ends, a step of any one of them at a time.
pub(crate) fn run(store: &Adversary, mut tasks: Vec<Task<'_>>) {
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..5_000_000 {
        if tasks.is_empty() {
            return;
        }
        let next = {
            let mut world = store.world();
            world.tick();
            world.rng.usize(..tasks.len())
        };
        if tasks[next].as_mut().poll(&mut context) == Poll::Ready(()) {
            drop(tasks.swap_remove(next));
        }
    }
    panic!("the tasks never end");
}
