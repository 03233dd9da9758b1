select package, summary from products where updated_on >= :partition_start and updated_on < :partition_end
