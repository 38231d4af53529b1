-- depends: 0003.counter
INSERT IGNORE INTO `rushes_counter` (`id`, `value`) VALUES (1, 0);
