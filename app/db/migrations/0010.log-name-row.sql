-- depends: 0009.log-name
INSERT IGNORE INTO `rushes_log` (`id`, `name`) VALUES (1, UUID());
