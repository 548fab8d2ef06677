//! Numbers as a reader wants them: `#0-9`, `#12-40 by 4`, `30 of #0-99`.

use std::fmt::Write as _;

/// In the given order, what goes on in equal steps drawn together; where that makes many pieces, from where to where.
pub(super) fn ranges(numbers: &[u32]) -> String {
    let mut text = String::new();
    let mut pieces = 0;
    let mut left = numbers;
    while let Some(first) = left.first() {
        let step = left.get(1).map_or(0, |second| second.wrapping_sub(*first));
        let goes_on = |pair: &[u32]| pair[1].wrapping_sub(pair[0]) == step;
        let mut length = 1 + left.windows(2).take_while(|pair| goes_on(pair)).count();
        // Two numbers are a range only when they are neighbours; steps back are none.
        if (length == 2 && step != 1) || step == 0 || step > u32::MAX / 2 {
            length = 1;
        }
        let separator = if text.is_empty() { "#" } else { ", #" };
        let _infallible = match (length, step) {
            (1, _) => write!(text, "{separator}{first}"),
            (_, 1) => write!(text, "{separator}{first}-{}", left[length - 1]),
            _ => write!(text, "{separator}{first}-{} by {step}", left[length - 1]),
        };
        left = &left[length..];
        pieces += 1;
    }
    match (numbers.iter().min(), numbers.iter().max()) {
        (Some(least), Some(most)) if pieces > MOST_PIECES => format!("{} of #{least}-{most}", numbers.len()),
        _ => text,
    }
}

/// What a reader takes in at a glance.
const MOST_PIECES: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_and_steps_are_drawn_together_and_the_order_stays() {
        assert_eq!(ranges(&[]), "");
        assert_eq!(ranges(&[7]), "#7");
        assert_eq!(ranges(&[0, 1, 2, 9, 12]), "#0-2, #9, #12");
        assert_eq!(ranges(&[0, 4, 8, 12, 13]), "#0-12 by 4, #13");
        assert_eq!(ranges(&[5, 4, 3]), "#5, #4, #3");
        assert_eq!(ranges(&[3, 3, 4]), "#3, #3-4");
        assert_eq!(ranges(&[0, 1, 4, 5, 8, 9, 12, 13, 16, 17, 20, 21]), "12 of #0-21");
    }
}
