-- depends: 0011.job-created-at
-- One row: the key that stream tickets are signed with, as 64 hex digits. It is made by the program, since MariaDB and
-- MySQL share no function for good random bytes.
CREATE TABLE IF NOT EXISTS `rushes_ticket_key` (
  `id` TINYINT NOT NULL,
  `secret` CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
