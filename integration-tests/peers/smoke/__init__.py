"""The smoke set: our programs and the real Java libraries together, judged by parts that we did not write."""
