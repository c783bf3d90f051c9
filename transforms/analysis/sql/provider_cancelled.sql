-- One row per appointment that the provider cancelled for the pandemic or a lack of capacity and as-of date, from 90
-- days until 24 months after the cancellation.
--
-- event_date, due_date: the day of the cancellation, and the day by which a new time is expected.
-- is_rebooked: by the as-of date the person has attended the same specialty since the cancellation, or has a time there
-- that is booked and still ahead. What became of a later time is not known before its day: a time that was missed in
-- the end was still ahead on an earlier as-of date.
-- is_need_ended: since the cancellation a time of the same specialty was cancelled because the need had ended.
WITH cancelled AS (
    SELECT
        person_number,
        specialty,
        coalesce(status_date, event_date) AS cancelled_date
    FROM appointment
    WHERE status = 'cancelled_by_provider' AND reason IN ('pandemic', 'capacity')
),

waiting AS (
    SELECT DISTINCT
        cancelled.person_number,
        cancelled.specialty,
        cancelled.cancelled_date,
        as_of.as_of
    FROM cancelled
    INNER JOIN as_of
        ON cancelled.cancelled_date > as_of.as_of - INTERVAL 24 MONTH
        AND cancelled.cancelled_date <= as_of.as_of - INTERVAL 90 DAY
),

later AS (
    SELECT
        person_number,
        specialty,
        status,
        reason,
        event_date,
        coalesce(booked_date, DATE '0001-01-01') AS booked_date,
        coalesce(status_date, event_date) AS status_date,
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
    waiting.specialty,
    waiting.cancelled_date AS event_date,
    waiting.cancelled_date + 90 AS due_date,
    coalesce(bool_or(
        (later.status = 'attended' AND later.event_date BETWEEN waiting.cancelled_date AND waiting.as_of)
        OR (later.booked_date <= waiting.as_of AND waiting.as_of <= later.ahead_until)
    ), false) AS is_rebooked,
    coalesce(bool_or(
        later.reason = 'need_ended' AND later.status_date BETWEEN waiting.cancelled_date AND waiting.as_of
    ), false) AS is_need_ended
FROM waiting
LEFT JOIN later
    ON waiting.person_number = later.person_number
    AND waiting.specialty IS NOT DISTINCT FROM later.specialty
GROUP BY waiting.person_number, waiting.specialty, waiting.cancelled_date, waiting.as_of
