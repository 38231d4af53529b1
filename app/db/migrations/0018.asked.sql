-- depends: 0017.counter-digits
-- A row for each job that was unfinished STALL_AFTER after it was made: when it is to be looked at next, and how often
-- the backend was asked for it since it stands as it does. Times are in microseconds since 1970.
CREATE TABLE IF NOT EXISTS `rushes_asked` (
  `job_id` VARBINARY(764) NOT NULL,
  `moved_at` BIGINT NOT NULL,
  `asked` TINYINT NOT NULL,
  `due_at` BIGINT NOT NULL,
  `tries` INTEGER NOT NULL,
  `silent` INTEGER NOT NULL,
  `told` CHAR(32) CHARACTER SET ascii COLLATE ascii_bin NULL,
  PRIMARY KEY (`job_id`),
  INDEX `rushes_asked_due` (`asked`, `due_at`)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Where each walk over a large table goes on, as JSON.
CREATE TABLE IF NOT EXISTS `rushes_places` (
  `name` VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  `place` TEXT NOT NULL,
  PRIMARY KEY (`name`)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Old requests are found by their age, and not by a look at all of them.
SET @statement = COALESCE(
  (SELECT 'DO 0' FROM information_schema.STATISTICS
   WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'rushes_requests' AND INDEX_NAME = 'rushes_requests_age'),
  'ALTER TABLE `rushes_requests` ADD INDEX `rushes_requests_age` (`created_at`)'
);
PREPARE migration FROM @statement;
EXECUTE migration;
DEALLOCATE PREPARE migration;
