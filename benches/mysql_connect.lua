-- Logs in, runs one statement, and leaves, over and over: for sysbench, whose queries a second are logins a second then.
function thread_init()
   drv = sysbench.sql.driver()
end

function event()
   local connection = drv:connect()
   connection:query("SELECT 1")
   connection:disconnect()
end
