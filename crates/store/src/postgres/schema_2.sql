-- Nodes that an operator has told to take no mail, whether they run or not.
CREATE TABLE drained (
    node text COLLATE "C" PRIMARY KEY,
    at bigint NOT NULL,
    set_by text COLLATE "C" NOT NULL
);
