-- Most frequent causes of the failures of a round, as e-mails name them; null until the aggregator has told them.
ALTER TABLE rounds ADD COLUMN causes text;
