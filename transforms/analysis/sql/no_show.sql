-- One row per no-show that was the person's last one and as-of date, where the person has at least two in the 12 months
-- before the as-of date and the last is at least 60 days old.
--
-- event_date, due_date: the day of the no-show, and the day by which a new time is expected.
-- is_rebooked: by the as-of date the person has attended the same service since the no-show, or has a time there that is
-- booked and still ahead. What became of a later time is not known before its day.
WITH missed AS (
    SELECT person_number, service, event_date
    FROM appointment
    WHERE status = 'no_show'
),

repeated AS (
    SELECT
        missed.person_number,
        as_of.as_of,
        max(missed.event_date) AS last_date
    FROM missed
    INNER JOIN as_of
        ON missed.event_date > as_of.as_of - INTERVAL 12 MONTH AND missed.event_date <= as_of.as_of
    GROUP BY missed.person_number, as_of.as_of
    HAVING count(*) >= 2 AND max(missed.event_date) <= as_of.as_of - INTERVAL 60 DAY
),

waiting AS (
    SELECT DISTINCT
        repeated.person_number,
        repeated.as_of,
        repeated.last_date,
        missed.service
    FROM repeated
    INNER JOIN missed
        ON repeated.person_number = missed.person_number AND repeated.last_date = missed.event_date
),

later AS (
    SELECT
        person_number,
        service,
        status,
        event_date,
        coalesce(booked_date, DATE '0001-01-01') AS booked_date,
        -- The last day at whose end the person could still count on the time.
        CASE
            WHEN status IN ('booked', 'attended') THEN event_date
            ELSE least(event_date, coalesce(status_date, event_date)) - 1
        END AS ahead_until
    FROM appointment
)

SELECT
    waiting.person_number,
    waiting.as_of,
    waiting.service,
    waiting.last_date AS event_date,
    waiting.last_date + 60 AS due_date,
    coalesce(bool_or(
        (later.status = 'attended' AND later.event_date BETWEEN waiting.last_date AND waiting.as_of)
        OR (later.booked_date <= waiting.as_of AND waiting.as_of <= later.ahead_until)
    ), false) AS is_rebooked
FROM waiting
LEFT JOIN later
    ON waiting.person_number = later.person_number
    AND waiting.service IS NOT DISTINCT FROM later.service
GROUP BY waiting.person_number, waiting.service, waiting.last_date, waiting.as_of
