//! What went wrong, out of the output of a test step that may be thousands of lines long.
//!
//! In: what cargo and test programs wrote; out: the part to read first.

/// Lines that are told where nothing is known to be a failure's.
const LAST_LINES: usize = 60;
/// Of one step, in lines; the log has all.
const MOST_LINES: usize = 400;

/// The reports of failed tests as test programs print them, below `failures:`; of other output the last lines.
pub(super) fn told_in(output: &str) -> String {
    let mut told: Vec<&str> = Vec::new();
    let mut failing = false;
    for line in output.lines() {
        failing |= line == "failures:";
        if failing {
            told.push(line);
        }
        failing &= !line.starts_with("test result:");
    }
    if told.is_empty() {
        told = output.lines().collect();
        told.drain(..told.len().saturating_sub(LAST_LINES));
    }
    told.truncate(MOST_LINES);
    told.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_test_program_only_what_failed_is_told() {
        let output = "running 2 tests\ntest a ... ok\ntest b ... FAILED\n\nfailures:\n\n---- b stdout ----\nwhy\n\n\n\
                      failures:\n    b\n\ntest result: FAILED. 1 passed; 1 failed\n\nrunning 1 test\ntest c ... ok\n";
        let told = told_in(output);
        assert!(told.starts_with("failures:\n\n---- b stdout ----\nwhy\n"), "{told}");
        assert!(told.ends_with("test result: FAILED. 1 passed; 1 failed"), "{told}");
    }

    #[test]
    fn of_other_output_the_end_is_told() {
        let lines: Vec<String> = (0..LAST_LINES + 5).map(|line| line.to_string()).collect();
        assert_eq!(told_in(&lines.join("\n")), lines[5..].join("\n"));
    }
}
