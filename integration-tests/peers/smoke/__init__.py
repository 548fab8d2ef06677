"""The smoke set: our programs and the real Java libraries on one stream and one lease table, judged by parts that we did not write."""
