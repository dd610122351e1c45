DROP TABLE helplines;
DROP TABLE people;
