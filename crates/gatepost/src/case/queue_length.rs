//! The queue's length over time as a row of bars.

const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Draws one bar for every `step` lengths, as high as the longest of them; `most` is a full bar.
pub(super) fn draw(queue: &[usize], most: usize, step: usize) -> String {
    let bar = |part: &[usize]| BARS[part.iter().max().copied().unwrap_or(0).min(most) * (BARS.len() - 1) / most.max(1)];
    queue.chunks(step.max(1)).map(bar).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_highest_of_each_step_is_drawn() {
        assert_eq!(super::draw(&[0, 0, 7, 1, 14], 14, 2), "▁▄█");
        assert_eq!(super::draw(&[0, 0], 0, 0), "▁▁");
    }
}
